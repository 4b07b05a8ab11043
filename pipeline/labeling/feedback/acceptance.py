"""Whether people look before they agree: machine boxes left as they are, beside what people draw without seeing them.

Blind tasks are drawn at random from the images asked about, so without rubber-stamping people would leave no more boxes
unchanged where they see them than they confirm where they do not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.store import SampleStore
from pipeline.matching import mark_right
from pipeline.records import Answer, Fate, Source, TaskKind, of_images
from pipeline.settings import Settings
from pipeline.workspace import Folder, Workspace

COUNTS = ("shown", "accepted", "corrected", "deleted", "added", "blind", "confirmed", "missed")


def acceptance(settings: Settings, answers: Iterable[Answer]) -> dict[str, Any]:
    """Count what became of machine boxes that people saw, and how many they confirm without seeing them.

    Args:
        settings: The project.
        answers: Of all harvests so far, in order; the last word of each annotation counts.

    Returns:
        `images` with the numbers `shown` and `blind`, and `classes` by label. On tasks with boxes: boxes `shown`, of
        these `accepted` unchanged, `corrected` and `deleted`, and boxes that people `added`. On blind tasks: boxes that
        would have been shown (`blind`), of these `confirmed` by a box that a person drew (at `selection.match_iou`),
        and `missed` objects.
    """
    latest = {answer.annotation_id: answer for answer in answers}
    by_cycle: dict[int, list[Answer]] = defaultdict(list)
    for answer in latest.values():
        if answer.cycle is not None and not answer.skipped:
            by_cycle[answer.cycle].append(answer)
    images: Counter[str] = Counter(shown=0, blind=0)
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for cycle, given in sorted(by_cycle.items()):
        folder = Workspace(settings.workspace).cycle(cycle)
        kinds = _kinds(folder, given)
        shown = [answer for answer in given if kinds.get(answer.image_id) == TaskKind.ASK]
        blind = [answer for answer in given if kinds.get(answer.image_id) == TaskKind.BLIND]
        images.update(shown=len(shown), blind=len(blind))
        _count_shown(shown, classes)
        if blind:
            _count_blind(settings, folder, blind, classes)
    counts = {label: {name: classes[label][name] for name in COUNTS} for label in sorted(classes)}
    return {"images": dict(images), "classes": counts}


def _kinds(folder: Folder, answers: Sequence[Answer]) -> dict[str, str]:
    """What each image was asked for in a cycle."""
    if not folder.exists("queue.parquet"):
        return {}
    asked = of_images(answer.image_id for answer in answers)
    rows = folder.read_table("queue.parquet", ["image_id", "kind"], asked).to_pylist()
    return {row["image_id"]: row["kind"] for row in rows}


def _count_shown(answers: Sequence[Answer], classes: dict[str, Counter[str]]) -> None:
    for answer in answers:
        for label, verdict in answer.verdicts:
            classes[label].update(["shown", verdict])
        for box in answer.boxes:
            if box.source is Source.HUMAN:
                classes[box.label]["added"] += 1


def _count_blind(
    settings: Settings, folder: Folder, answers: Sequence[Answer], classes: dict[str, Counter[str]]
) -> None:
    given = {answer.image_id: answer.boxes for answer in answers}
    withheld = (pc.field("fate") != Fate.DROP.value) & of_images(given)
    boxes: pa.Table = folder.read_table("selection.parquet", None, withheld)
    rows = SampleStore(Workspace(settings.workspace).samples_uri).samples()
    drawn = [replace(row, boxes=given[row.image_id]) for row in rows if row.image_id in given]
    right = mark_right(boxes, drawn, settings.selection.match_iou)
    for label, hit in zip(boxes["label"].to_pylist(), right.tolist(), strict=True):
        classes[label].update(blind=1, confirmed=int(hit), missed=-int(hit))
    for sample in drawn:
        for box in sample.boxes:
            classes[box.label]["missed"] += 1
