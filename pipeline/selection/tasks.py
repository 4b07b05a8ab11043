"""Queued images as questions to people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from pipeline.records import Box, Fate, Sample, Task, TaskKind
from pipeline.selection.fates import boxes_of
from pipeline.selection.query import doubts


def tasks_of(
    queued: Sequence[Sample], queue: pa.Table, selection: pa.Table, blank: Task, target_precision: float
) -> list[Task]:
    """Make the tasks of a queue.

    Args:
        queued: Images that wait for an answer.
        queue: Columns of `QUEUE_SCHEMA`, best first; images that do not wait any more are left out.
        selection: Columns of `SELECTION_SCHEMA`.
        blank: What all of them share: the cycle, the model and the time of asking.
        target_precision: The bar of a class without a certificate.

    Returns:
        Tasks, best first, with the boxes that a person may see.
    """
    if blank.asked_at is None:
        raise ValueError("Expected a task with asked_at, which its boxes carry, got one without")
    by_id = {sample.image_id: sample for sample in queued}
    shown: dict[str, list[Box]] = {}
    for fate in (Fate.PSEUDO, Fate.ASK):
        for image_id, boxes in boxes_of(selection, fate, blank.asked_at).items():
            shown.setdefault(image_id, []).extend(boxes)
    unsure = doubts(selection, target_precision)
    tasks = []
    for row in queue.to_pylist():
        sample = by_id.get(row["image_id"])
        if sample is None:
            continue
        kind = TaskKind(row["kind"])
        boxes = shown.get(sample.image_id, []) if kind is TaskKind.ASK else []
        tasks.append(
            replace(
                blank,
                image_id=sample.image_id,
                uri=sample.uri,
                width=sample.width,
                height=sample.height,
                boxes=tuple(boxes),
                value=row["value"],
                reason=row["reason"],
                kind=kind,
                doubts={box.box_id: unsure[box.box_id] for box in boxes if box.box_id in unsure},
            )
        )
    return tasks
