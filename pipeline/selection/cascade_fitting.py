"""How a cascade is fitted on proposals whose truth is known, and who is worth another look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.records import VISIBLE_SHARE
from pipeline.selection.calibrator import PASTED, STACKED, Calibrator, Flags, Floats, fit_calibrator, folds_of
from pipeline.selection.cascade import LOOKS, Cascade, stage_of
from pipeline.selection.class_affinity import Names, affinity_out_of_fold, fit_affinities, with_affinity
from pipeline.selection.escalation import LOOK, Moves, Ranges, choose_ranges, turning_points, who_advances
from pipeline.settings import SelectionSettings

EVERYTHING = tuple((look, (*look, *PASTED)) for look in LOOKS)
"""What calibrators know before and after pastes, by look."""
CONSISTENCY_ALONE = ((("score_logit",), ("consistency",)),) * len(LOOKS)
"""The same under the published rule: confidence tells who is pasted, and consistency alone what becomes of a box."""
SPENT = 0.75
"""Share of the budget for looks that augmented views may spend; close-ups may spend what is left."""


BESIDE_PIXELS = 1.1
"""Prices count the pixels that the detector looks at; drawing, matching and packing cost a tenth more."""


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
    stages = tuple(
        fit_calibrator(table, right, min_class_boxes=settings.min_class_boxes, features=names, model_id=plan.model_id)
        for names in _features(table, settings)
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


def _features(table: pa.Table, settings: SelectionSettings) -> list[tuple[str, ...]]:
    """What the calibrator of each stage looks at: with stacking what a second member says, and the visible share."""
    if settings.rule == "consistency":
        return list(chain.from_iterable(CONSISTENCY_ALONE))
    beside = STACKED if settings.stacking else ()
    share = (VISIBLE_SHARE,) if VISIBLE_SHARE in table.column_names else ()
    return [(*names, *beside, *share) for names in chain.from_iterable(EVERYTHING)]


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
    left = max(0.0, plan.passes / BESIDE_PIXELS - pastes)
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
