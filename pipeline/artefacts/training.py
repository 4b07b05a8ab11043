"""One run of fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pipeline.artefacts.stage import StageRecord

EndOfRun = Literal["plateau", "steps", "fallback_steps", "committee"]
"""What ended a run: held-back images no longer got better; all steps were done; with nothing to look at, as many as are
set for that; or as many as the committee needed."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One logged step: its number, the loss, its parts by name, and the learning rate."""

    step: int
    loss: float
    parts: Mapping[str, float] = field(default_factory=dict)
    lr: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at held-back images: after how many steps, and the mAP of the averaged weights on them."""

    step: int
    score: float


@dataclass(frozen=True, slots=True)
class Rollback:
    """A return to the last good step.

    Attributes:
        step: The step that went wrong, from 0.
        to: The step that the run went on from.
        cause: What was not finite, or leapt, with its value.
        image_ids: What the bad step learnt from.
    """

    step: int
    to: int
    cause: str
    image_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """What a run was like.

    Attributes:
        steps: Steps done, over all attempts.
        train_seconds: Time in the loop, over all attempts.
        images_per_s: Images shown per second.
        precision: What it was computed in.
        curve: Logged steps.
        ended_by: What ended it, after `steps`.
        plateau_step: Where held-back images no longer got better, so that the learning rate fell from there on; None
            where they went on getting better, or nobody looked.
        looks: At held-back images.
        rollbacks: What went wrong and was taken back.
        labeled_images: Images that people labelled.
        pseudo_images: Images that the machine labelled.
        pseudo_boxes: Pseudo-boxes that were learnt, by class.
        pseudo_boxes_beyond_bounds: Pseudo-boxes that the bounds left out, by class.
        faults: Images that could not be read: (uri, reason).
        settings: The resolved section `training`.
    """

    steps: int
    train_seconds: float
    images_per_s: float
    precision: str = ""
    curve: tuple[TrainingStep, ...] = ()
    ended_by: EndOfRun = "steps"
    plateau_step: int | None = None
    looks: tuple[Look, ...] = ()
    rollbacks: tuple[Rollback, ...] = ()
    labeled_images: int = 0
    pseudo_images: int = 0
    pseudo_boxes: Mapping[str, int] = field(default_factory=dict)
    pseudo_boxes_beyond_bounds: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainingRun(StageRecord):
    """The candidate of a cycle.

    Attributes:
        candidate: Its id.
        parent: The model that it was fine-tuned from; None for the first.
        dataset_version: What it learnt from.
        run: What the run was like.
    """

    FILE: ClassVar[str] = "training.json"
    MADE_BY: ClassVar[str] = "crosscheck finetune"

    candidate: str
    parent: str | None
    dataset_version: int
    run: TrainingSummary
