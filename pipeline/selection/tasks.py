"""Queued images as questions to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipeline.artefacts import Decision, MiningRun
from pipeline.cycle import Cycle, load_cycle
from pipeline.errors import ArtefactError
from pipeline.records import Box, Fate, Sample, State, Task, TaskKind, of_images
from pipeline.selection.fates import box_of
from pipeline.selection.reasons import in_words
from pipeline.selection.showing import ShownBox, shown_boxes
from pipeline.workspace import Workspace

UNSURE_SHARE = 3
"""One of so many boxes of an image is called unsure, at least one."""
SURE_FROM = 0.95
"""A box is never called unsure from this p(correct)."""

QUEUE, SELECTION = "queue.parquet", "selection.parquet"


def last_queued(workspace: str) -> Cycle:
    """The newest cycle that selected, whether it has ended or not.

    Raises:
        ArtefactError: Nothing was ever selected.
    """
    place = Workspace(workspace)
    numbers = [number for number in place.cycles() if place.cycle(number).exists(QUEUE)]
    if not numbers:
        raise ArtefactError(f"Expected a queue in {place.uri}, found none. Run `crosscheck mine` first.")
    return load_cycle(workspace, max(numbers))


def queued_tasks(cycle: Cycle) -> list[Task]:
    """Tasks for every queued image, best first, with the boxes that a person may see."""
    mined = cycle.find(MiningRun)
    model_id = mined.model_id if mined else ""
    blank = Task("", "", 0, 0, (), 0.0, "", TaskKind.ASK, cycle.number, model_id, cycle.opened_at)
    queue = cycle.folder.read_table(QUEUE)
    selection = cycle.folder.read_table(SELECTION, None, of_images(queue["image_id"].to_pylist()))
    queued = cycle.store.samples(states=[State.QUEUED])
    return tasks_of(queued, queue, selection, blank, cycle.read(Decision).shown_from)


def tasks_of(
    queued: Sequence[Sample], queue: pa.Table, selection: pa.Table, blank: Task, shown_from: float | None
) -> list[Task]:
    """Make the tasks of a queue.

    Args:
        queued: Images that wait for an answer.
        queue: Columns of `QUEUE_SCHEMA`, best first; images that do not wait any more are left out.
        selection: Columns of `SELECTION_SCHEMA`.
        blank: What all of them share: the cycle, the model and the time of asking.
        shown_from: Boxes of a higher p(correct) are shown, see `showing.shown_from`.

    Returns:
        Tasks, best first, with the boxes that a person may see, the most doubtful first.
    """
    if blank.asked_at is None:
        raise ValueError("Expected a task with asked_at, which its boxes carry, got one without")
    by_id = {sample.image_id: sample for sample in queued}
    rows = [row for row in queue.to_pylist() if row["image_id"] in by_id]
    asked = {row["image_id"] for row in rows if TaskKind(row["kind"]).shows_boxes}
    shown = shown_boxes(selection.filter(of_images(asked)), shown_from)
    return [_task(by_id[row["image_id"]], row, shown.get(row["image_id"], []), blank) for row in rows]


def _task(sample: Sample, row: Mapping[str, Any], shown: Sequence[ShownBox], blank: Task) -> Task:
    boxes = tuple(box_of(box.row, blank.asked_at) for box in shown)
    return replace(
        blank,
        image_id=sample.image_id,
        uri=sample.uri,
        width=sample.width,
        height=sample.height,
        boxes=boxes,
        value=row["value"],
        reason=row["reason"],
        kind=TaskKind(row["kind"]),
        doubts=_doubts(shown, boxes),
        rank=row["rank"] + 1,
    )


def _doubts(shown: Sequence[ShownBox], boxes: Sequence[Box]) -> dict[str, str]:
    """What is said of the few boxes whose answer matters most."""
    few = list(zip(shown, boxes, strict=True))[: max(1, len(shown) // UNSURE_SHARE)]
    return {
        box.box_id: in_words(own)
        for own, box in few
        if own.row["fate"] == Fate.ASK.value and own.row["p_correct"] < SURE_FROM
    }
