"""Pseudo-labels held against what people drew without seeing them, and what follows for their classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow.compute as pc

from pipeline.dataset.store import SampleStore
from pipeline.matching import mark_right
from pipeline.records import Answer, Sample, TaskKind, of_images
from pipeline.selection.fates import AUDITED
from pipeline.selection.withdrawal import Standing, next_standing
from pipeline.settings import Settings
from pipeline.stages.cycle import Cycle
from pipeline.workspace import Workspace

STANDING = "standing.json"

Counts = dict[str, dict[str, int]]
"""By label: `boxes` and how many of them are `right`."""


def audited(settings: Settings, answers: Sequence[Answer]) -> dict[str, Counts]:
    """Count pseudo-labels that people confirmed blindly.

    Args:
        settings: The project.
        answers: Of one harvest.

    Returns:
        By the cycle that asked, then by label: `boxes` that would have been pseudo-labels in the audited images, and
        how many are `right`.
    """
    workspace = Workspace(settings.workspace)
    given = {answer.image_id: answer for answer in answers if not answer.skipped}
    found: dict[str, Counts] = {}
    for number in workspace.cycles():
        folder = workspace.cycle(number)
        if not given or not folder.exists("queue.parquet"):
            continue
        audits = (pc.field("kind") == TaskKind.AUDIT.value) & of_images(given)
        image_ids = folder.read_table("queue.parquet", ["image_id", "kind"], audits)["image_id"].to_pylist()
        if not image_ids:
            continue
        pseudo = folder.read_table("selection.parquet", None, AUDITED & of_images(image_ids))
        samples = _drawn(workspace, [given.pop(image_id) for image_id in image_ids])
        right = mark_right(pseudo, samples, settings.selection.match_iou)
        counts = found.setdefault(str(number), {})
        for label, hit in zip(pseudo["label"].to_pylist(), right.tolist(), strict=True):
            count = counts.setdefault(label, {"boxes": 0, "right": 0})
            count["boxes"] += 1
            count["right"] += int(hit)
    return found


def add_audits(audits: Sequence[Mapping[str, Mapping[str, int]]]) -> Counts:
    """Sums of counts by label."""
    labels = sorted({label for one in audits for label in one})
    return {
        label: {key: sum(one.get(label, {}).get(key, 0) for one in audits) for key in ("boxes", "right")}
        for label in labels
    }


def standings(cycle: Cycle, held_back: Sequence[Sample]) -> dict[str, Standing]:
    """Tell which classes have failed their audits, and write it down for the next cycle.

    Args:
        cycle: The cycle; its answers are harvested.
        held_back: The held-back images as they are now.

    Returns:
        By class name; also in `standing.json`.
    """
    settings = cycle.settings.selection
    before = _before(cycle)
    found = _audits_so_far(cycle)
    objects = Counter(box.label for sample in held_back for box in sample.boxes)
    now = {
        label: next_standing(
            before.get(label, Standing()),
            {number: (one[label]["boxes"], one[label]["right"]) for number, one in found.items() if label in one},
            cycle=cycle.number,
            objects=objects[label],
            target=settings.target_precision,
            confidence=settings.confidence,
        )
        for label in cycle.settings.data.labels
    }
    cycle.folder.write_json(STANDING, {label: one.to_json() for label, one in now.items()})
    return now


def _before(cycle: Cycle) -> dict[str, Standing]:
    folder = cycle.workspace.cycle(cycle.number - 1) if cycle.number else None
    known = folder.read_json(STANDING) if folder and folder.exists(STANDING) else {}
    return {label: Standing(**one) for label, one in known.items()}


def _audits_so_far(cycle: Cycle) -> dict[int, Counts]:
    """Everything that was harvested up to this cycle, by the cycle that asked."""
    folders = (cycle.workspace.cycle(number) for number in cycle.workspace.cycles() if number <= cycle.number)
    told = [folder.read_json("harvest.json").get("audited", {}) for folder in folders if folder.exists("harvest.json")]
    asked_in = sorted({int(number) for one in told for number in one})
    return {number: add_audits([one.get(str(number), {}) for one in told]) for number in asked_in}


def _drawn(workspace: Workspace, answers: Sequence[Answer]) -> list[Sample]:
    """The audited images with the boxes that people drew."""
    boxes = {answer.image_id: answer.boxes for answer in answers}
    rows: list[Any] = [one for one in SampleStore(workspace.samples_uri).samples() if one.image_id in boxes]
    return [replace(sample, boxes=boxes[sample.image_id]) for sample in rows]
