"""How long the members of a committee train, and how long the champion does, which has nothing held back to look at.

Members look at their own fold, as every run looks at held-back images: what is found is one number, the step at which
the learning rate falls. That the same fold calibrates flatters it by no more than this one choice. A slice of what a
member learns would be seen by nobody else, but with a dozen labelled images it is two or three, which tell nothing and
are missing among the few that teach.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from pipeline.artefacts import TrainingSummary
from pipeline.detector.training.optimizer import steps_with
from pipeline.settings import TrainingSettings

ALL_MEMBERS = 1.5
"""All members of a committee together take so many times as long as the champion."""


def share_of_member(members: int) -> float:
    """How long one of so many members trains, as a share of the champion's steps."""
    return min(1.0, ALL_MEMBERS / members)


def settings_of_member(training: TrainingSettings, members: int) -> TrainingSettings:
    """How one of so many members trains: sooner done and less patient, so that a committee stays cheap."""
    share, plateau = share_of_member(members), training.plateau

    def of(steps: int) -> int:
        return max(1, round(steps * share))

    shorter = {
        "patience": plateau.patience * share,
        "min_steps": of(plateau.min_steps),
        "fallback_steps": of(plateau.fallback_steps),
    }
    return training.model_copy(update={"steps": of(training.steps), "plateau": plateau.model_copy(update=shorter)})


def steps_of_champion(training: TrainingSettings, members: Sequence[TrainingSummary], *, first: bool) -> int:
    """How long a run is that learns every label: as long as its members, with their impatience put right, on average.

    A first run is not believed to be done before `plateau.min_first_steps`. On a dozen images mAP jumps, and a run that
    its highest jump ended early was far from what the labels could teach; one that is too long costs time alone.

    Args:
        training: Of the champion.
        members: The runs of a committee.
        first: Whether it starts from pretrained weights rather than from a champion.
    """
    share, plateau = share_of_member(len(members)), training.plateau
    if first:
        least = max(plateau.min_steps, plateau.min_first_steps)
        training = training.model_copy(update={"plateau": plateau.model_copy(update={"min_steps": least})})
    return min(training.steps, round(fmean(_full_length(training, run, share) for run in members)))


def _full_length(training: TrainingSettings, run: TrainingSummary, share: float) -> float:
    """What a member's run would have been with the patience and the bounds of the champion."""
    plateau = training.plateau
    if run.plateau_step is None:
        return training.steps if run.ended_by == "steps" else plateau.fallback_steps
    best = run.plateau_step * (1 - plateau.patience * share)
    waited = best / (1 - plateau.patience) if plateau.patience < 1 else float(training.steps)
    return steps_with(round(max(waited, plateau.min_steps)), training.decay)
