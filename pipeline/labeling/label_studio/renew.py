"""Tasks that are there already, when a new model arrives: open ones get its boxes, those of no use leave the queue.

What a person has begun is left alone, and nothing that a person may have in hand is taken away. The server tells that
somebody has begun, by the draft that the page keeps from the first change on. It does not tell that somebody has a task
open and only looks, so:

- a prediction is changed in place: an answer refers to the prediction it began with, and the server refuses an answer
  whose prediction is gone. That rules out its requests for many at once, which delete predictions and import others;
- whoever had it open answers about the boxes before, see `answers`;
- a task leaves the queue by being marked as finished, which an answer in the making does not notice. It is deleted by a
  later push, once whoever had it open has lost the lock, and only if still nobody has begun it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pipeline.labeling.label_studio.client import Client, Json
from pipeline.labeling.label_studio.hardly_changed import has_hardly_changed
from pipeline.labeling.label_studio.tabs import WITHDRAWN

T = TypeVar("T")

STANDING = ("id", "data", "total_annotations", "cancelled_annotations", "draft_exists", "updated_at", "is_labeled")
"""The fields of a task that tell how it stands."""

_LOOKED_UP = 50
"""Tasks that are looked up together before they are renewed: few, so that what is known of them is a moment old."""

_NO_LONGER = "need not be answered any more"


@dataclass(frozen=True, slots=True)
class Renewal:
    """What became of open tasks that would be made otherwise now, by image.

    Attributes:
        renewed: They got the new boxes.
        unchanged: They stay as they were, since their boxes hardly changed.
        in_hand: They stay as they were, since somebody has begun to answer.
    """

    renewed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    in_hand: tuple[str, ...] = ()

    def __add__(self, other: Renewal) -> Renewal:
        """Both, one after the other."""
        return Renewal(self.renewed + other.renewed, self.unchanged + other.unchanged, self.in_hand + other.in_hand)


def stale(pairs: Sequence[tuple[Json, Json]]) -> list[tuple[Json, Json]]:
    """Those tasks that nobody has answered and that would be made otherwise now.

    Args:
        pairs: A task with its fields `STANDING`, and its payload.
    """
    return [(task, payload) for task, payload in pairs if not (_answered(task) or _is_current(task, payload))]


def is_begun(task: Json) -> bool:
    """Whether somebody has begun to answer a task, and has not submitted it."""
    return bool(task["draft_exists"]) and not _answered(task)


def renew(client: Client, project: int, pairs: Sequence[tuple[Json, Json]], parallel: int) -> Renewal:
    """Give tasks that nobody has begun what they would be made with now, where that is worth it.

    The server changes a prediction and a task in a request each, and looks many up in one, so that some are looked up
    again right before they are changed.

    Args:
        client: The server.
        project: The project.
        pairs: As `stale` gives them; most valuable first.
        parallel: Tasks that are changed at once.
    """
    payloads = {task["id"]: payload for task, payload in pairs if not is_begun(task)}
    done = Renewal(in_hand=_images(task for task, _ in pairs if is_begun(task)))
    with ThreadPoolExecutor(parallel) as pool:
        for numbers in batches(list(payloads), _LOOKED_UP):
            now = list(_look_up(client, project, numbers))
            open_now = [task for task in now if not _touched(task)]
            alike = {task["id"] for task in open_now if has_hardly_changed(task, payloads[task["id"]])}
            changed = [task for task in open_now if task["id"] not in alike]
            list(pool.map(lambda task: _renew(client, task, payloads[task["id"]]), changed))
            same = _images(task for task in open_now if task["id"] in alike)
            done += Renewal(_images(changed), same, _images(filter(is_begun, now)))
    return done


def withdraw(
    client: Client, tasks: Iterable[Json], lock_s: float, parallel: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take tasks out of the queue; answered ones stay as they are.

    Args:
        client: The server.
        tasks: With their fields `STANDING`.
        lock_s: A task that left the queue so long ago is deleted.
        parallel: Tasks that are changed at once.

    Returns:
        Images whose task left the queue now, and images whose task somebody has begun.
    """
    waiting = [task for task in tasks if not _answered(task)]
    begun = [task for task in waiting if task["draft_exists"]]
    leaving = [task for task in waiting if not (task["draft_exists"] or _has_left(task))]
    old = [task for task in waiting if not task["draft_exists"] and _has_left(task) and _age(task) >= lock_s]
    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(lambda task: _take_out(client, task), leaving))
        list(pool.map(lambda task: _delete_untouched(client, task["id"]), old))
    return _images(leaving), _images(begun)


def _images(tasks: Iterable[Json]) -> tuple[str, ...]:
    return tuple(task["data"]["image_id"] for task in tasks)


def _is_current(task: Json, payload: Json) -> bool:
    return not task["is_labeled"] and all(task["data"].get(name) == value for name, value in payload["data"].items())


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Some at a time, in order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _look_up(client: Client, project: int, numbers: Sequence[int]) -> Iterator[Json]:
    """Those of these tasks that are still there, with their predictions."""
    these = {"filter": "filter:tasks:id", "operator": "in_list", "type": "Number", "value": list(numbers)}
    for page in client.tasks(project, (*STANDING, "predictions", "result"), [these]):
        yield from page.tasks


def _renew(client: Client, task: Json, payload: Json) -> None:
    (prediction,) = payload["predictions"]
    if task["predictions"]:
        client.update_prediction(task["predictions"][0]["id"], **prediction)
    else:
        client.create_prediction(task["id"], **prediction)
    # A task that was answered meanwhile must not come back: only one that had left the queue is put there.
    back = {"is_labeled": False} if task["is_labeled"] else {}
    # Last, so that a push that broke before this line is finished by the next.
    client.update_task(task["id"], data={**task["data"], **payload["data"]}, **back)


def _take_out(client: Client, task: Json) -> None:
    client.update_task(task["id"], data={**task["data"], "kind": WITHDRAWN, "reason": _NO_LONGER}, is_labeled=True)


def _delete_untouched(client: Client, task: int) -> None:
    now = client.task(task)
    if now is not None and not _touched(now):
        client.delete_task(task)


def _answered(task: Json) -> bool:
    return bool(task["total_annotations"] or task["cancelled_annotations"])


def _touched(task: Json) -> bool:
    return _answered(task) or bool(task["draft_exists"])


def _has_left(task: Json) -> bool:
    return bool(task["data"].get("kind") == WITHDRAWN)


def _age(task: Json) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(task["updated_at"])).total_seconds()
