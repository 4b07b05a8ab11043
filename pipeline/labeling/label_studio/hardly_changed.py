"""Whether a new model says of an open task what the one before said, so that renewing it is not worth two requests.

Of what a task states, only what nobody would notice may lag behind: scores, the words on top, the rank. The boxes must
be the same, and so must, nearly, the place in the queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.labeling.feedback.agreement import same_boxes
from pipeline.labeling.label_studio.drawing import AskedImage, shown_boxes

Json = Mapping[str, Any]

SAME_BOX_IOU = 0.9
"""A box that moved less than this is the same to a person: nobody drags one that fits so well
(`labeling.accepted_iou` of the default settings)."""
SAME_PLACE = 0.1
"""Values of asking that differ by no more than this share give nearly the same place in the queue; between two training
runs they differ by as much."""

_MAY_LAG = frozenset({"rank", "value", "reason", "cycle", "model_id", "proposals"})


def has_hardly_changed(task: Json, payload: Json) -> bool:
    """Tell whether people would see the same boxes, asked in the same way, at nearly the same place in the queue.

    Args:
        task: An open task as the server states it, with `data`, `predictions` and `is_labeled`.
        payload: What it would be made of now.

    Returns:
        False for a task that has left the queue, too.
    """
    data, new = task["data"], payload["data"]
    if task["is_labeled"] or any(data.get(name) != new[name] for name in new.keys() - _MAY_LAG):
        return False
    return _is_same_place(data.get("value"), new["value"]) and _are_same_boxes(task, payload)


def _is_same_place(before: Any, now: float) -> bool:
    return isinstance(before, float | int) and abs(before - now) <= SAME_PLACE * max(abs(before), abs(now))


def _are_same_boxes(task: Json, payload: Json) -> bool:
    image = AskedImage.of(payload)
    assert image is not None, "our own payload states its image"
    before, now = shown_boxes(task, image), shown_boxes(payload, image)
    if before.keys() != (task["data"].get("proposals") or {}).keys():  # a push broke between its two requests
        return False
    return len(before) == len(now) == len(same_boxes([*before.values()], [*now.values()], SAME_BOX_IOU))
