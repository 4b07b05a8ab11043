"""Pseudo-labels held against what people drew without seeing them, and what follows for their classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import pyarrow.compute as pc

from pipeline.artefacts import AuditCount, Audits, ClassStanding, CycleHarvest, Standings, add_audits
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.detector.evaluation.proposal_matching import mark_right
from pipeline.records import Answer, Sample, TaskKind, of_images
from pipeline.selection.fates import AUDITED
from pipeline.selection.withdrawal import next_standing
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def count_audits(settings: Settings, answers: Sequence[Answer]) -> dict[int, Audits]:
    """Count pseudo-labels that people confirmed blindly.

    Args:
        settings: The project.
        answers: Of one harvest.

    Returns:
        By the cycle that asked, then by class: boxes that would have been pseudo-labels in the audited images, and how
        many of them are right.
    """
    workspace = Workspace(settings.workspace)
    open_answers = {answer.image_id: answer for answer in answers if not answer.skipped}
    audits: dict[int, Audits] = {}
    for number in workspace.cycles():
        folder = workspace.cycle(number)
        if not open_answers or not folder.exists("queue.parquet"):
            continue
        asked = (pc.field("kind") == TaskKind.AUDIT.value) & of_images(open_answers)
        image_ids = folder.read_table("queue.parquet", ["image_id", "kind"], asked)["image_id"].to_pylist()
        if not image_ids:
            continue
        pseudo = folder.read_table("selection.parquet", None, AUDITED & of_images(image_ids))
        drawn = as_drawn(workspace, [open_answers.pop(image_id) for image_id in image_ids])
        right = mark_right(pseudo, drawn, settings.selection.match_iou)
        counts: dict[str, AuditCount] = defaultdict(AuditCount)
        for label, is_right in zip(pseudo["label"].to_pylist(), right.tolist(), strict=True):
            counts[label] += AuditCount(1, int(is_right))
        audits[number] = dict(counts)
    return audits


def as_drawn(workspace: Workspace, answers: Sequence[Answer]) -> list[Sample]:
    """Answered images with the boxes that people drew."""
    boxes = {answer.image_id: answer.boxes for answer in answers}
    store = SampleStore(workspace.samples_uri)
    return [replace(sample, boxes=boxes[sample.image_id]) for sample in store.by_ids(boxes)]


def class_standings(cycle: Cycle, held_back: Sequence[Sample]) -> Standings:
    """Tell which classes have failed their audits.

    Args:
        cycle: The cycle; its answers are harvested.
        held_back: The held-back images as they are now.
    """
    previous = cycle.before()
    earlier = previous.find(Standings) if previous else None
    before = earlier.classes if earlier else {}
    audits = _audits_so_far(cycle)
    objects = Counter(box.label for sample in held_back for box in sample.boxes)
    return Standings(
        {
            label: next_standing(
                before.get(label, ClassStanding()),
                {number: counts[label] for number, counts in audits.items() if label in counts},
                cycle.settings.selection,
                cycle=cycle.number,
                objects=objects[label],
            )
            for label in cycle.settings.data.labels
        }
    )


def _audits_so_far(cycle: Cycle) -> dict[int, Audits]:
    """Everything that was harvested up to this cycle, by the cycle that asked."""
    by_cycle: dict[int, list[Audits]] = defaultdict(list)
    for harvest in filter(None, (past.find(CycleHarvest) for past in cycle.up_to_here())):
        for number, audits in harvest.audits.items():
            by_cycle[number].append(audits)
    return {number: add_audits(audits) for number, audits in sorted(by_cycle.items())}
