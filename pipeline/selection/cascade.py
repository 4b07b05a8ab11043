"""The cascade of evidence: cheap for every proposal, dearer only where it can change what becomes of it.

What is known of a proposal is how closely it was looked at (the detection alone, an augmented view of its image, a
close-up too) and whether it was pasted; each of these six states has its own calibrator. Every proposal that would not
be dropped is pasted. A proposal gets another look when its class has a chance of being certified and its p(correct) is
so near to the threshold that the look may carry it across, nearest first, as far as the budget reaches. An augmented
view serves all proposals of an image, so that they get it together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    fit_affinities,
    measure_affinity,
    with_affinity,
)
from pipeline.selection.escalation import LOOK, Moves, Ranges, choose_ranges, turning_points, who_advances
from pipeline.settings import SelectionSettings

BARE = (*CHEAP, *AFFINITY)
LOOKS = (BARE, (*BARE, *LOOKED), (*BARE, *LOOKED, *CLOSER))
"""What is known of a proposal that was looked at once, twice and closer; pastes add theirs to each."""
EVERYTHING = tuple((look, (*look, *PASTED)) for look in LOOKS)
"""What calibrators know before and after pastes, by look."""
CONSISTENCY_ALONE = ((("score_logit",), ("consistency",)),) * len(LOOKS)
"""The same under the published rule: confidence tells who is pasted, and consistency alone what becomes of a box."""
SPENT = 0.75
"""Share of the budget for looks that augmented views may spend; close-ups may spend what is left."""


@dataclass(frozen=True)
class Cascade:
    """Calibrators, and who advances from one to the next.

    Attributes:
        stages: One calibrator each, by `stage_of`.
        advancing: Who gets an augmented view, and who gets a close-up after that.
        affinities: What objects of each class look like to each detector.
        drop_below: Proposals of a lower p(correct) are not pasted.
        budget: Detection passes that pastes of an image may cost on average; None: no limit.
        look_budget: The same for augmented views and close-ups.
    """

    stages: tuple[Calibrator, ...]
    advancing: tuple[Ranges, ...]
    affinities: tuple[ClassAffinity, ...]
    drop_below: float = 0.0
    budget: float | None = None
    look_budget: float | None = None

    def of_member(self, number: int) -> Cascade:
        """The same for proposals of one of several detectors, which need not say whose they are."""
        return replace(self, affinities=(self.affinities[number],))

    def looks(self, evidence: pa.Table) -> Flags:
        """Which proposals are worth another look at their own image.

        Args:
            evidence: Proposals with the evidence that they have.

        Returns:
            bool[N].
        """
        advances = np.zeros(len(evidence), dtype=np.bool_)
        evidence, look = self._likened(evidence), _look(evidence)
        for number, ranges in enumerate(self.advancing):
            rows = look == number
            there = evidence.filter(pa.array(rows))
            p_correct = self.stages[stage_of(number)].predict(there)
            advances[rows] = who_advances(number, p_correct, there, ranges)
        return advances

    def worth(self, evidence: pa.Table) -> Floats:
        """Which proposals are pasted, the surest first.

        Args:
            evidence: Proposals with the evidence that they have.

        Returns:
            float[N], p(correct); NaN where the proposal is dropped.
        """
        p_correct = self.predict(evidence)
        return np.where(self._is_due(p_correct), p_correct, np.nan)

    def _is_due(self, p_correct: Floats) -> Flags:
        """Compared as it is stored, so that no box is asked about or written that was not pasted."""
        due: Flags = p_correct.astype(np.float32) >= np.float32(self.drop_below)
        return due

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
        p_correct, standing = np.zeros(len(evidence)), _standing(evidence)
        evidence = self._likened(evidence)
        for number, stage in enumerate(self.stages):
            rows = standing == number
            p_correct[rows] = stage.predict(evidence.filter(pa.array(rows)))
        return p_correct

    def predict_on(self, stage: int, evidence: pa.Table) -> Floats:
        """p(correct) by the evidence of one stage, whatever else is known.

        Args:
            stage: Which, of `stage_of`; -1 for the one that knows everything.
            evidence: Proposals with at least that evidence.

        Returns:
            float[N].
        """
        return self.stages[stage].predict(self._likened(evidence))

    def _likened(self, evidence: pa.Table) -> pa.Table:
        """With the features of affinity, where it has none yet."""
        if set(AFFINITY) <= set(evidence.column_names):
            return evidence
        return with_affinity(evidence, measure_affinity(evidence, self.affinities))

    def replay(self, evidence: pa.Table) -> Floats:
        """p(correct) of proposals with all evidence as if only what is worth it had been checked.

        Args:
            evidence: Proposals with all their evidence.

        Returns:
            float[N].
        """
        table = self._likened(evidence)
        look = np.zeros(len(table), dtype=np.int64)
        p_correct = self.stages[stage_of(0)].predict(table)
        rows: NDArray[np.intp] = np.arange(len(table))
        for number, ranges in enumerate(self.advancing):
            rows = rows[who_advances(number, p_correct[rows], table.take(rows), ranges)]
            look[rows] = number + 1
            p_correct[rows] = self.stages[stage_of(number + 1)].predict(table.take(rows))
        due = self._is_due(p_correct)
        for number in range(len(LOOKS)):
            rows = np.flatnonzero(due & (look == number))
            p_correct[rows] = self.stages[stage_of(number, pasted=True)].predict(table.take(rows))
        return p_correct


def stage_of(look: int, *, pasted: bool = False) -> int:
    """The number of a calibrator.

    Args:
        look: 0 for the detection alone, 1 with an augmented view, 2 with a close-up too.
        pasted: Whether it knows pastes.
    """
    return 2 * look + pasted


def _look(evidence: pa.Table) -> NDArray[np.int64]:
    """How closely each proposal was looked at."""
    looked, shown = (
        evidence[name].is_valid().to_numpy(zero_copy_only=False) for name in ("tta_score", "closeup_score")
    )
    return np.where(looked, np.where(shown, 2, 1), 0)


def _standing(evidence: pa.Table) -> NDArray[np.int64]:
    """The stage of each proposal."""
    pasted: Flags = evidence["checks"].to_numpy() > 0
    return 2 * _look(evidence) + pasted.astype(np.int64)


@dataclass(frozen=True)
class KnownBoxes:
    """Proposals whose truth is known, which a cascade is fitted on.

    Attributes:
        evidence: N proposals in labelled images that the detector was not trained on, with all evidence.
        right: bool[N].
        objects: str[N], the class of the object that each shows, right or not; `class_affinity.NOTHING` for none.
        prices: float[N, 2 + rounds], what an augmented view, a close-up and the pastes of each round of each proposal
            cost, in detection passes over its image; the first is paid once per image.
        members: How many detectors proposed them.
    """

    evidence: pa.Table
    right: Flags
    objects: Names
    prices: Floats
    members: int = 1

    def take(self, rows: NDArray[np.intp]) -> KnownBoxes:
        """Some of them."""
        return KnownBoxes(
            self.evidence.take(rows), self.right[rows], self.objects[rows], self.prices[rows], self.members
        )


@dataclass(frozen=True)
class CascadePlan:
    """How a cascade is fitted.

    Attributes:
        settings: The promised precision, folds, which classes are pooled, and which boxes are dropped.
        model_id: The detector whose proposals these are.
        budget: Detection passes per image for pastes; None: no limit.
        look_budget: The same for augmented views and close-ups.
        passes: The same for pastes, augmented views and close-ups together; these get what pastes leave.
    """

    settings: SelectionSettings
    model_id: str
    budget: float | None = None
    look_budget: float | None = None
    passes: float | None = None


def fit_cascade(known: KnownBoxes, plan: CascadePlan) -> Cascade:
    """Fit a calibrator for each stage and choose who advances.

    Args:
        known: Proposals whose truth is known.
        plan: How.

    Returns:
        The cascade.
    """
    settings, right, every = plan.settings, known.right, known.evidence
    affinity = affinity_out_of_fold(every, known.objects, folds_of(every, settings.folds), known.members)
    table = with_affinity(every, affinity)
    looks = CONSISTENCY_ALONE if settings.rule == "consistency" else EVERYTHING
    stages = tuple(
        fit_calibrator(table, right, min_class_boxes=settings.min_class_boxes, features=names, model_id=plan.model_id)
        for pair in looks
        for names in pair
    )
    plan = replace(plan, look_budget=_left_for_looks(stages[0], table, known, plan))
    return Cascade(
        stages,
        _choose_looks(stages, table, known, plan),
        fit_affinities(every, known.objects, known.members),
        settings.drop_below,
        plan.budget,
        plan.look_budget,
    )


def _left_for_looks(bare: Calibrator, table: pa.Table, known: KnownBoxes, plan: CascadePlan) -> float | None:
    """Detection passes per image for augmented views and close-ups: what pastes leave, at most their own budget."""
    if plan.passes is None:
        return plan.look_budget
    due = bare.predict(table) >= plan.settings.drop_below
    hits = table["hit_fraction"].to_numpy(zero_copy_only=False)
    torn = (hits > 0) & (hits < 1)
    first, more = known.prices[:, 2], known.prices[:, 3:].sum(1)
    images = max(1, len(np.unique(table["image_id"].to_numpy(zero_copy_only=False))))
    pastes = float((due * (first + torn * more)).sum()) / images
    pastes = pastes if plan.budget is None else min(pastes, plan.budget)
    left = max(0.0, plan.passes - pastes)
    return left if plan.look_budget is None else min(left, plan.look_budget)


def _choose_looks(
    stages: Sequence[Calibrator], table: pa.Table, known: KnownBoxes, plan: CascadePlan
) -> tuple[Ranges, ...]:
    """Who gets an augmented view, and who gets a close-up after that."""
    if plan.settings.rule == "consistency":
        return ({}, {})
    p_correct = [stages[stage_of(look)].predict(table) for look in range(len(LOOKS))]
    labels, images = (table[name].to_numpy(zero_copy_only=False) for name in ("label", "image_id"))
    turns = turning_points(stages[-1].predict(table), labels, plan.settings)
    left = np.inf if plan.look_budget is None else plan.look_budget * len(np.unique(images))
    advancing: list[Ranges] = []
    looks = known.prices[:, :2].T
    rows: NDArray[np.intp] = np.arange(len(table))
    for look, (before, after, price) in enumerate(zip(p_correct[:-1], p_correct[1:], looks, strict=True)):
        allowance = left * SPENT if look == LOOK else left
        moves = Moves(before[rows], after[rows], labels[rows], price[rows], images[rows] if look == LOOK else None)
        ranges, spent = choose_ranges(moves, turns, allowance)
        left -= spent
        advancing.append(ranges)
        rows = rows[who_advances(look, before[rows], table.take(rows), ranges)]
    return tuple(advancing)


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
    for fitted, left_out in folds_of(known.evidence, plan.settings.folds) or [(everything, everything)]:
        cascade = fit_cascade(known.take(fitted), plan)
        unseen = known.evidence.take(left_out)
        gated[left_out] = cascade.replay(unseen)
        full[left_out] = cascade.predict_on(-1, unseen)
    return gated, full
