"""What is sent: a task with the machine's boxes as its one prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.labeling.label_studio.page import CONTROL, IMAGE, NOTE
from pipeline.labeling.label_studio.project import MODEL_VERSION
from pipeline.labeling.label_studio.verification import questions
from pipeline.labeling.rectangles import to_percent
from pipeline.records import Box, Task, TaskKind

REGION = "rectanglelabels"
_SHARE = (float, int)
SAID: dict[str, type | tuple[type, ...]] = {
    "proposal_id": str,
    "score": _SHARE,
    "consistency": _SHARE,
    "p_correct": _SHARE,
}
"""What a task keeps of each of the machine's boxes beside its region, and its type; so an answer tells where it comes
from."""


def task_payload(task: Task, address: str) -> dict[str, Any]:
    """Write a task as the server imports it.

    The queue serves tasks without a prediction after all others, so a task that shows no boxes (audit, blind) carries
    a prediction without regions.

    Args:
        task: What people are asked.
        address: Where the page finds the image.

    Returns:
        `data` and `predictions`, JSON-safe; `data.proposals` has what the machine said of each box, `SAID`. The ids of
        the boxes are the ids of the regions; what is said of an unsure box is a text of the same id. The score of a
        region is the chance that it is right.
    """
    shown = task.boxes if task.kind.shows_boxes else ()
    data = {
        "image": address,
        "image_id": task.image_id,
        "rank": task.rank,
        "value": float(task.value),
        "reason": task.reason,
        "kind": str(task.kind),
        "cycle": task.cycle,
        "model_id": task.model_id,
        "width": task.width,
        "height": task.height,
        **questions(task.kind is TaskKind.VERIFY),
        "proposals": {box.box_id: {name: getattr(box, name) for name in SAID} for box in shown},
    }
    percent = to_percent(np.array([box.xyxy for box in shown], dtype=np.float64), task.width, task.height)
    regions = [
        region
        for box, corners in zip(shown, percent.tolist(), strict=True)
        for region in _regions(box, corners, task.doubts.get(box.box_id), task)
    ]
    prediction = {"model_version": MODEL_VERSION, "score": queue_score(task.value), "result": regions}
    return {"data": data, "predictions": [prediction]}


def _regions(box: Box, percent: list[float], doubt: str | None, task: Task) -> Iterator[dict[str, Any]]:
    """The rectangle, and what is said of it."""
    place = dict(zip(("x", "y", "width", "height", "rotation"), [*percent, 0], strict=True))
    common = {
        "id": box.box_id,
        "to_name": IMAGE,
        "original_width": task.width,
        "original_height": task.height,
        "image_rotation": 0,
        "score": box.score if box.p_correct is None else box.p_correct,
    }
    yield {**common, "type": REGION, "from_name": CONTROL, "value": {**place, REGION: [box.label]}}
    if doubt is not None:
        yield {**common, "type": "textarea", "from_name": NOTE, "value": {**place, "text": [doubt]}}


def queue_score(value: float) -> float:
    """Turn the value of asking into the prediction score that gives a task its place.

    The queue serves the lowest score first, and scores must lie between 0 and 1 while values need not:
    `(1 - value / (1 + |value|)) / 2`.

    Args:
        value: Higher = ask sooner, any finite number.

    Returns:
        0 to 1, lower = served sooner.
    """
    return (1.0 - value / (1.0 + abs(value))) / 2.0
