"""The committee of a cycle: detectors that each learnt without a part of the labelled images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.artefacts.stage import StageRecord
from pipeline.artefacts.training import TrainingSummary


@dataclass(frozen=True, slots=True)
class Member:
    """A detector of a committee; its place among the members is the number of the fold that it did not learn.

    Attributes:
        model_id: Its id.
        parent: The member that it was fine-tuned from; None where it began with pretrained weights.
        held_back_images: Labelled images of its fold.
        map: Its mAP on these; None where they hold no object.
        run: What its training was like.
    """

    MADE_BY: ClassVar[str] = "crosscheck finetune"

    model_id: str
    parent: str | None
    held_back_images: int
    map: float | None
    run: TrainingSummary


@dataclass(frozen=True, kw_only=True)
class CommitteeRun(StageRecord):
    """A committee; the champion that was trained with it keeps a copy beside its weights.

    Attributes:
        dataset_version: What its members learnt from.
        members: By fold.
        dealt: The fold of each group of near-duplicates that was labelled when images were first dealt; others follow
            from their id alone.
        stacked: Whether members come in pairs, none of which learnt a fold of its pair: `selection.stacking`.
    """

    FILE: ClassVar[str] = "committee.json"
    MADE_BY: ClassVar[str] = "crosscheck finetune"

    dataset_version: int
    members: tuple[Member, ...]
    dealt: Mapping[str, int] = field(default_factory=dict)
    stacked: bool = False
