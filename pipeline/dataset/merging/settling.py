"""One image with two sets of labels: which of them stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pipeline.records import Box, Sample, Source, Split, State

SAME_PX = 0.5
"""Corners of one box in two sources differ by no more: formats round."""

_STRICT = (Split.TEST, Split.VAL, Split.TRAIN, Split.POOL)
_PEOPLE = frozenset({Source.HUMAN, Source.ACCEPTED, Source.CORRECTED})


class Conflicts(StrEnum):
    """Whose labels stand where neither side's are worth more: ours, theirs, or ours until somebody has looked."""

    OURS = "ours"
    THEIRS = "theirs"
    REVIEW = "review"


class Outcome(StrEnum):
    """What a merge does to an image that it brings."""

    NEW = "new"
    KNOWN = "known"
    LABELED = "labelled"
    THEIRS = "their labels"
    OURS = "our labels"
    DISPUTED = "to review"
    QUARANTINED = "quarantined here"
    APART = "near-duplicate, quarantined"


@dataclass(frozen=True, slots=True)
class Settled:
    """A row of the table as a merge leaves it, and how that came about."""

    row: Sample
    outcome: Outcome


def settle(ours: Sample, theirs: Sample, conflicts: Conflicts) -> Settled:
    """Decide between the labels of one image.

    Labels go before none, and those of people before imported ones. What one side keeps for evaluation never becomes
    an image to learn from: test goes before val before train.

    Args:
        ours: The row of the table.
        theirs: What the other source has of the same bytes.
        conflicts: Whose labels stand where both sides' are worth the same.
    """
    if ours.state is State.QUARANTINED:
        return Settled(ours, Outcome.QUARANTINED)
    if theirs.state is not State.LABELED:
        return Settled(ours, Outcome.KNOWN)
    split = min(ours.split, theirs.split, key=_STRICT.index)
    if ours.state is not State.LABELED:
        return Settled(_with_labels(ours, theirs, split), Outcome.LABELED)
    kept = replace(ours, split=split)
    if same_labels(ours.boxes, theirs.boxes):
        return Settled(kept, Outcome.KNOWN)
    own, other = _trust(ours), _trust(theirs)
    if own == other and conflicts is Conflicts.REVIEW:
        # Mended where the machine disagrees, images of test would flatter it: they are never reviewed.
        return Settled(kept, Outcome.OURS if split is Split.TEST else Outcome.DISPUTED)
    if other > own or (own == other and conflicts is Conflicts.THEIRS):
        return Settled(_with_labels(ours, theirs, split), Outcome.THEIRS)
    return Settled(kept, Outcome.OURS)


def same_labels(ours: Sequence[Box], theirs: Sequence[Box]) -> bool:
    """Tell whether two sets of boxes say the same, whoever drew them."""
    left = list(theirs)
    for box in ours:
        twin = next((other for other in left if _is_same(box, other)), None)
        if twin is None:
            return False
        left.remove(twin)
    return not left


def _is_same(box: Box, other: Box) -> bool:
    near = (abs(one - two) <= SAME_PX for one, two in zip(box.xyxy, other.xyxy, strict=True))
    return box.label == other.label and all(near)


def _trust(sample: Sample) -> bool:
    """Whether people of a project drew or accepted the labels; an empty image that a cycle labelled was answered."""
    if not sample.boxes:
        return sample.cycle is not None
    return any(box.source in _PEOPLE for box in sample.boxes)


def _with_labels(ours: Sample, theirs: Sample, split: Split) -> Sample:
    kept = tuple(region for region in ours.ignore if region not in theirs.ignore and region.reason == "crowd")
    return replace(
        ours,
        split=split,
        state=State.LABELED,
        boxes=theirs.boxes,
        ignore=(*kept, *theirs.ignore),
        note=theirs.note,
        cycle=None,
    )
