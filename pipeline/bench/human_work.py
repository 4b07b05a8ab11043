"""What people have done for a project so far: images, boxes and seconds, every human label counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.artefacts import CycleHarvest, ReviewWork
from pipeline.artefacts.sums import Sums
from pipeline.cycle import Cycle
from pipeline.records import Sample, Source, Split, State
from pipeline.settings import SecondsSettings

_BY_HAND = (Source.HUMAN, Source.CORRECTED)
_MENDED = (Source.CORRECTED, "added")
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class HumanWork(Sums):
    """Work of people.

    Attributes:
        images: Images that they looked at, for whatever split but `test`, which only measures; a review is one more.
        boxes: Boxes that they drew or corrected.
        seconds: What it took, by `labeling.seconds`.
    """

    images: int = 0
    boxes: int = 0
    seconds: float = 0.0


def work_until(cycle: Cycle) -> HumanWork:
    """Everything that people had done when a cycle of a simulated project began to train.

    Args:
        cycle: It has harvested, and so has every cycle before.

    Returns:
        The images that the project began with, in `train` and `val`, and every answer and review since.
    """
    harvests = (past.read(CycleHarvest) for past in cycle.up_to_here())
    return sum((_answered(harvest) + _reviewed(harvest.reviews) for harvest in harvests), _start(cycle))


def _start(cycle: Cycle) -> HumanWork:
    """What was labelled before the first cycle, all of it drawn by hand."""
    drawn = cycle.store.samples(0, states=[State.LABELED], splits=[Split.TRAIN, Split.VAL])
    return drawn_by_hand(drawn, cycle.settings.labeling.seconds)


def drawn_by_hand(samples: Sequence[Sample], seconds: SecondsSettings) -> HumanWork:
    """The work of drawing every box of some images."""
    boxes = sum(len(sample.boxes) for sample in samples)
    return HumanWork(len(samples), boxes, len(samples) * seconds.look + boxes * seconds.draw)


def _answered(harvest: CycleHarvest) -> HumanWork:
    boxes = sum(harvest.boxes.get(source, 0) for source in _BY_HAND)
    return HumanWork(harvest.answered + harvest.skipped, boxes, (harvest.hours or 0.0) * _HOUR_S)


def _reviewed(reviews: ReviewWork) -> HumanWork:
    boxes = sum(reviews.boxes.get(mended, 0) for mended in _MENDED)
    return HumanWork(reviews.answered + reviews.skipped, boxes, (reviews.hours or 0.0) * _HOUR_S)
