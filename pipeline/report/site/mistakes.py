"""Machine boxes that people did not leave as they were, in the answers that a cycle harvested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from pipeline.artefacts import CycleHarvest
from pipeline.cycle import Cycle
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.records import Answer, Box, Source
from pipeline.report.rows import Corners

_COLUMNS = ["proposal_id", "label", "x1", "y1", "x2", "y2", "p_correct"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A machine box that people saw and changed.

    Attributes:
        image_id: Its image.
        what: `deleted`, `moved` or `relabelled`.
        label: Of the machine's box.
        box: Of the machine, in pixels.
        p_correct: Of the machine's box.
        became: What a person made of it; None for a deleted one.
        became_label: Likewise.
        annotator: Who answered.
    """

    image_id: str
    what: str
    label: str
    box: Corners
    p_correct: float | None
    became: Corners | None
    became_label: str
    annotator: str

    @property
    def order(self) -> tuple[float, str]:
        """By which the surest of the machine's boxes come first."""
        return (-(self.p_correct or 0.0), self.image_id)


def mistakes_of(cycle: Cycle) -> list[Mistake]:
    """Every machine box that the answers harvested in a cycle changed, the surest first."""
    harvest, before = cycle.find(CycleHarvest), cycle.before()
    if harvest is None:
        return []
    earlier = before.find(CycleHarvest) if before else None
    log = HarvestLog(cycle.workspace)
    names = log.names()[earlier.harvests if earlier else 0 : harvest.harvests]
    latest = {answer.image_id: answer for answer in log.answers(names) if not answer.skipped}
    found = [mistake for answer in latest.values() for mistake in _deleted(answer)]
    asked_in = {answer.cycle for answer in latest.values() if answer.cycle is not None}
    for number in sorted(asked_in):
        found += _corrected(cycle, number, [answer for answer in latest.values() if answer.cycle == number])
    return sorted(found, key=lambda mistake: mistake.order)


def _deleted(answer: Answer) -> Iterator[Mistake]:
    for box in answer.deleted:
        yield Mistake(answer.image_id, "deleted", box.label, box.xyxy, box.p_correct, None, "", answer.annotator)


def _corrected(cycle: Cycle, asked_in: int, answers: Iterable[Answer]) -> Iterator[Mistake]:
    """Boxes that began as proposals of the cycle that asked."""
    pairs = [(answer, box) for answer in answers for box in answer.boxes if _began_as_proposal(box)]
    folder = cycle.workspace.cycle(asked_in)
    if not pairs or not folder.exists("selection.parquet"):
        return
    wanted = pc.field("proposal_id").isin([box.proposal_id for _, box in pairs])
    rows = folder.read_table("selection.parquet", _COLUMNS, wanted).to_pylist()
    proposals = {row["proposal_id"]: row for row in rows}
    for answer, box in pairs:
        own = proposals.get(box.proposal_id)
        if own is None:
            continue
        corners = (own["x1"], own["y1"], own["x2"], own["y2"])
        what = "moved" if own["label"] == box.label else "relabelled"
        yield Mistake(
            answer.image_id, what, own["label"], corners, own["p_correct"], box.xyxy, box.label, answer.annotator
        )


def _began_as_proposal(box: Box) -> bool:
    return box.source is Source.CORRECTED and box.proposal_id is not None
