"""Tasks that are there already, when a new model arrives: open ones get its boxes, those of no use leave the queue.

What a person has begun is left alone, and nothing that a person may have in hand is taken away. The server does not
tell whether somebody has a task open, so:

- a prediction is changed in place: an answer refers to the prediction it began with, and the server refuses an answer
  whose prediction is gone;
- a task leaves the queue by being marked as finished, which an answer in the making does not notice. It is deleted by a
  later push, once whoever had it open has lost the lock, and only if still nobody has begun it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.labeling.label_studio.client import Client
from pipeline.labeling.label_studio.views import WITHDRAWN

Json = dict[str, Any]

STANDING = ("id", "data", "total_annotations", "cancelled_annotations", "draft_exists", "updated_at", "is_labeled")
"""The fields of a task that tell how it stands."""

_NO_LONGER = "need not be answered any more"


def renew(client: Client, pairs: Iterable[tuple[Json, Json]]) -> tuple[str, ...]:
    """Give tasks that nobody has begun what they would be made with now.

    Args:
        client: The server.
        pairs: A task with its fields `STANDING`, and its payload.

    Returns:
        Images whose task changed.
    """
    return tuple(payload["data"]["image_id"] for task, payload in pairs if _renew(client, task, payload))


def withdraw(client: Client, tasks: Iterable[Json], lock_s: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take tasks out of the queue; answered ones stay as they are.

    Args:
        client: The server.
        tasks: With their fields `STANDING`.
        lock_s: A task that left the queue so long ago is deleted.

    Returns:
        Images whose task left the queue now, and images whose task somebody has begun.
    """
    left, begun = [], []
    for task in tasks:
        data = task["data"]
        if _answered(task):
            continue
        if task["draft_exists"]:
            begun.append(data["image_id"])
        elif data.get("kind") != WITHDRAWN:
            client.update_task(task["id"], data={**data, "kind": WITHDRAWN, "reason": _NO_LONGER}, is_labeled=True)
            left.append(data["image_id"])
        elif _age(task) >= timedelta(seconds=lock_s):
            _delete_untouched(client, task["id"])
    return tuple(left), tuple(begun)


def _renew(client: Client, task: Json, payload: Json) -> bool:
    wanted = payload["data"]
    is_current = not task["is_labeled"] and all(task["data"].get(name) == value for name, value in wanted.items())
    if is_current or _touched(task):
        return False
    now = client.task(task["id"])
    if now is None or _touched(now):
        return False
    (prediction,) = payload["predictions"]
    if now["predictions"]:
        client.update_prediction(now["predictions"][0]["id"], **prediction)
    else:
        client.create_prediction(task["id"], **prediction)
    # Last, so that a push that broke before this line is finished by the next.
    client.update_task(task["id"], data={**task["data"], **wanted}, is_labeled=False)
    return True


def _delete_untouched(client: Client, task: int) -> None:
    now = client.task(task)
    if now is not None and not _touched(now):
        client.delete_task(task)


def _answered(task: Json) -> bool:
    return bool(task["total_annotations"] or task["cancelled_annotations"])


def _touched(task: Json) -> bool:
    return _answered(task) or bool(task["draft_exists"])


def _age(task: Json) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(task["updated_at"])
