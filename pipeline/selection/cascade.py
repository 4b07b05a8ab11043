"""The cascade of evidence: cheap for every proposal, dearer only where it can change what becomes of it.

The stage of a proposal is the evidence that it has: the detection alone, then an augmented view of its image, a
close-up, and one or more rounds of pastes. Each stage has its own calibrator. A proposal advances when its class has a
chance of being certified and its p(correct) is so near to the threshold that the next evidence may carry it across,
nearest first, as far as the budget reaches. An augmented view serves all proposals of an image, so that they advance to
it together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.selection.calibrator import (
    CHEAP,
    CLOSER,
    LOOKED,
    PASTED,
    Calibrator,
    Flags,
    Floats,
    fit_calibrator,
    folds_of,
)
from pipeline.selection.class_affinity import (
    AFFINITY,
    ClassAffinity,
    Names,
    affinity_out_of_fold,
    fit_class_affinity,
    with_affinity,
)
from pipeline.selection.escalation import LOOK, Moves, Ranges, choose_ranges, turning_points, who_advances
from pipeline.settings import SelectionSettings

BARE = (*CHEAP, *AFFINITY)
LOOKED_AT, SHOWN = (*BARE, *LOOKED), (*BARE, *LOOKED, *CLOSER)
"""What is known of a proposal on the first three stages; every later one adds what its pastes say."""
SPENT = 0.75
"""Share of what is left of the budget that a stage may spend; the last one may spend all of it."""


@dataclass(frozen=True)
class Cascade:
    """Calibrators, and who advances from one to the next.

    Attributes:
        stages: One calibrator each: of detections alone, after an augmented view, after a close-up, and after each
            round of pastes.
        advancing: Of all stages but the last.
        rounds: How many pastes a proposal has had after each round.
        affinity: What objects of each class look like to the detector.
        budget: Detection passes that checks of an image may cost on average; None: no limit.
    """

    stages: tuple[Calibrator, ...]
    advancing: tuple[Ranges, ...]
    rounds: tuple[int, ...]
    affinity: ClassAffinity = field(default_factory=ClassAffinity)
    budget: float | None = None

    def advances(self, evidence: pa.Table) -> Flags:
        """Which proposals are worth the evidence of the next stage.

        Args:
            evidence: Proposals with the evidence that they have.

        Returns:
            bool[N].
        """
        advances = np.zeros(len(evidence), dtype=np.bool_)
        evidence, standing = self._likened(evidence), self._standing(evidence)
        for stage, ranges in enumerate(self.advancing):
            rows = standing == stage
            there = evidence.filter(pa.array(rows))
            advances[rows] = who_advances(stage, self.stages[stage].predict(there), there, ranges)
        return advances

    def predict(self, evidence: pa.Table) -> Floats:
        """p(correct) by what is known of each proposal.

        Args:
            evidence: Proposals with their evidence, null where they were not checked; with the features of affinity in
                place of embeddings, where these are not at hand.

        Returns:
            float[N].

        Raises:
            ArtefactError: The proposals are another detector's.
        """
        p_correct, standing = np.zeros(len(evidence)), self._standing(evidence)
        evidence = self._likened(evidence)
        for number, stage in enumerate(self.stages):
            rows = standing == number
            p_correct[rows] = stage.predict(evidence.filter(pa.array(rows)))
        return p_correct

    def predict_on(self, stage: int, evidence: pa.Table) -> Floats:
        """p(correct) by the evidence of one stage, whatever else is known.

        Args:
            stage: Which, -1 for the last.
            evidence: Proposals with at least that evidence.

        Returns:
            float[N].
        """
        return self.stages[stage].predict(self._likened(evidence))

    def _likened(self, evidence: pa.Table) -> pa.Table:
        """With the features of affinity, where it has none yet."""
        if set(AFFINITY) <= set(evidence.column_names):
            return evidence
        return with_affinity(evidence, self.affinity.measure(evidence))

    def _standing(self, evidence: pa.Table) -> NDArray[np.int64]:
        """The stage of each proposal."""
        looked, shown = (
            evidence[name].is_valid().to_numpy(zero_copy_only=False) for name in ("tta_score", "closeup_score")
        )
        pasted = np.searchsorted(self.rounds, evidence["checks"].to_numpy(), side="right")
        return np.where(looked, np.where(shown, 2 + pasted, 1), 0)

    def replay(self, evidence: Sequence[pa.Table]) -> Floats:
        """p(correct) of proposals with all evidence as if only those that advance had been checked.

        Args:
            evidence: The same proposals with their evidence after each round of pastes.

        Returns:
            float[N].
        """
        affinity = self.affinity.measure(evidence[-1])
        tables = _by_stage([with_affinity(table, affinity) for table in evidence])
        p_correct = self.stages[0].predict(tables[0])
        rows: NDArray[np.intp] = np.arange(len(p_correct))
        for number, (ranges, table) in enumerate(zip(self.advancing, tables[1:], strict=True)):
            rows = rows[who_advances(number, p_correct[rows], table.take(rows), ranges)]
            p_correct[rows] = self.stages[number + 1].predict(table.take(rows))
        return p_correct


@dataclass(frozen=True)
class KnownBoxes:
    """Proposals whose truth is known, which a cascade is fitted on.

    Attributes:
        rounds: N proposals in labelled images that the detector was not trained on, with their evidence after each
            round of pastes.
        right: bool[N].
        objects: str[N], the class of the object that each shows, right or not; `class_affinity.NOTHING` for none.
        prices: float[N, 2 + rounds], what each check of each proposal costs, in detection passes over its image; the
            first is paid once per image.
    """

    rounds: tuple[pa.Table, ...]
    right: Flags
    objects: Names
    prices: Floats

    def take(self, rows: NDArray[np.intp]) -> KnownBoxes:
        """Some of them."""
        rounds = tuple(table.take(rows) for table in self.rounds)
        return KnownBoxes(rounds, self.right[rows], self.objects[rows], self.prices[rows])


@dataclass(frozen=True)
class CascadePlan:
    """How a cascade is fitted.

    Attributes:
        settings: The promised precision, folds, and which classes are pooled.
        rounds: How many pastes a proposal has had after each round.
        budget: Detection passes per image for all checks; None: no limit.
        model_id: The detector whose proposals these are.
    """

    settings: SelectionSettings
    rounds: tuple[int, ...]
    budget: float | None
    model_id: str


def fit_cascade(known: KnownBoxes, plan: CascadePlan) -> Cascade:
    """Fit a calibrator for each stage and choose who advances.

    Args:
        known: Proposals whose truth is known.
        plan: How.

    Returns:
        The cascade.
    """
    settings, right, every = plan.settings, known.right, known.rounds[-1]
    affinity = affinity_out_of_fold(every, known.objects, folds_of(every, settings.folds))
    tables = _by_stage([with_affinity(table, affinity) for table in known.rounds])
    features = (BARE, LOOKED_AT, SHOWN, *[(*SHOWN, *PASTED)] * len(plan.rounds))
    stages = tuple(
        fit_calibrator(table, right, min_class_boxes=settings.min_class_boxes, features=names, model_id=plan.model_id)
        for table, names in zip(tables, features, strict=True)
    )
    p_correct = [stage.predict(table) for stage, table in zip(stages, tables, strict=True)]
    labels = tables[0]["label"].to_numpy(zero_copy_only=False)
    turns = turning_points(p_correct[-1], labels, settings)
    images = tables[0]["image_id"].to_numpy(zero_copy_only=False)
    left = np.inf if plan.budget is None else plan.budget * len(np.unique(images))
    advancing: list[Ranges] = []
    rows: NDArray[np.intp] = np.arange(len(right))
    for stage, (before, after, price) in enumerate(zip(p_correct[:-1], p_correct[1:], known.prices.T, strict=True)):
        allowance = left if stage == len(stages) - 2 else left * SPENT
        moves = Moves(before[rows], after[rows], labels[rows], price[rows], images[rows] if stage == LOOK else None)
        ranges, spent = choose_ranges(moves, turns, allowance)
        left -= spent
        advancing.append(ranges)
        rows = rows[who_advances(stage, before[rows], tables[0].take(rows), ranges)]
    return Cascade(stages, tuple(advancing), plan.rounds, fit_class_affinity(every, known.objects), plan.budget)


def out_of_fold(known: KnownBoxes, plan: CascadePlan) -> tuple[Floats, Floats]:
    """p(correct) of each box from a cascade that has not seen its image.

    Args:
        known: As for `fit_cascade`.
        plan: As for `fit_cascade`; images are dealt to `folds` folds.

    Returns:
        float[N] as the pool's boxes get it, where only those that advance are checked, and float[N] with all evidence.
        With a single image its own fit serves, which flatters it.
    """
    count = len(known.right)
    everything = np.arange(count)
    gated, full = np.zeros(count), np.zeros(count)
    for fitted, left_out in folds_of(known.rounds[-1], plan.settings.folds) or [(everything, everything)]:
        cascade = fit_cascade(known.take(fitted), plan)
        unseen = known.take(left_out).rounds
        gated[left_out] = cascade.replay(unseen)
        full[left_out] = cascade.predict_on(-1, unseen[-1])
    return gated, full


def _by_stage(evidence: Sequence[pa.Table]) -> list[pa.Table]:
    """One table per stage; what the first three look at is in all of them."""
    return [evidence[-1], evidence[-1], evidence[-1], *evidence]
