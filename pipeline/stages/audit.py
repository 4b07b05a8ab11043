"""Pseudo-labels held against what people drew without seeing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow.compute as pc

from pipeline.dataset.store import SampleStore
from pipeline.matching import mark_right
from pipeline.records import Answer, Fate, Sample, TaskKind, of_images
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def audited(settings: Settings, answers: Sequence[Answer]) -> dict[str, dict[str, int]]:
    """Count pseudo-labels that people confirmed blindly.

    Args:
        settings: The project.
        answers: Of one harvest.

    Returns:
        By label: `boxes` that would have been pseudo-labels in the audited images, and how many are `right`.
    """
    workspace = Workspace(settings.workspace)
    given = {answer.image_id: answer for answer in answers if not answer.skipped}
    counts: dict[str, dict[str, int]] = {}
    for number in workspace.cycles():
        folder = workspace.cycle(number)
        if not given or not folder.exists("queue.parquet"):
            continue
        audits = (pc.field("kind") == TaskKind.AUDIT.value) & of_images(given)
        image_ids = folder.read_table("queue.parquet", ["image_id", "kind"], audits)["image_id"].to_pylist()
        sure = (pc.field("fate") == Fate.PSEUDO.value) & of_images(image_ids)
        pseudo = folder.read_table("selection.parquet", None, sure)
        samples = _drawn(workspace, [given.pop(image_id) for image_id in image_ids])
        right = mark_right(pseudo, samples, settings.selection.match_iou)
        for label, hit in zip(pseudo["label"].to_pylist(), right.tolist(), strict=True):
            count = counts.setdefault(label, {"boxes": 0, "right": 0})
            count["boxes"] += 1
            count["right"] += int(hit)
    return counts


def add_audits(audits: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Sums of counts by label."""
    labels = sorted({label for one in audits for label in one})
    return {
        label: {key: sum(one.get(label, {}).get(key, 0) for one in audits) for key in ("boxes", "right")}
        for label in labels
    }


def _drawn(workspace: Workspace, answers: Sequence[Answer]) -> list[Sample]:
    """The audited images with the boxes that people drew."""
    boxes = {answer.image_id: answer.boxes for answer in answers}
    rows: list[Any] = [one for one in SampleStore(workspace.samples_uri).samples() if one.image_id in boxes]
    return [replace(sample, boxes=boxes[sample.image_id]) for sample in rows]
