"""The ladder of evidence: cheap for every proposal, dearer only where it can change what becomes of it.

A proposal stands on a rung by the evidence that it has: that of the detection itself, shown alone as well, or pasted as
well. Each rung has a calibrator of its own. A proposal climbs when its class has a chance of being certified and its
p(correct) is so near to the threshold that the next evidence may carry it across, nearest first, as far as the budget
reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import expit, logit

from pipeline.selection.calibrate import ALONE, CHEAP, PASTED, Calibrator, Flags, Floats, fit_calibrator, folds_of
from pipeline.selection.certify import least_boxes
from pipeline.settings import SelectionSettings

RUNGS = (CHEAP, (*CHEAP, *ALONE), (*CHEAP, *ALONE, *PASTED))
"""What is known of a proposal on each rung."""
REACH = 0.95
"""Proposals climb that lie no farther from the threshold than the next rung moves this share of proposals."""
_EDGE = 1e-6
_SLACK = 1e-9  # so that rounding leaves the outermost on its side

Ranges = Mapping[str, tuple[float, float]]
"""p(correct) from where to where a proposal of a class climbs; a class without an entry does not."""


@dataclass(frozen=True)
class Ladder:
    """Three calibrators, and who climbs from one to the next.

    Attributes:
        rungs: A calibrator each.
        climbing: Of all rungs but the last.
    """

    rungs: tuple[Calibrator, ...]
    climbing: tuple[Ranges, ...]

    def climbs(self, proposals: pa.Table) -> Flags:
        """Which proposals are worth the evidence of the next rung.

        Args:
            proposals: Columns of `PROPOSAL_SCHEMA`, not pasted yet.

        Returns:
            bool[N].
        """
        alone = proposals["agreement"].is_valid().to_numpy(zero_copy_only=False)
        climbs = np.zeros(len(proposals), dtype=np.bool_)
        for rung, rows in enumerate((~alone, alone)):
            there = proposals.filter(pa.array(rows))
            climbs[rows] = _within(self.rungs[rung].predict(there), there, self.climbing[rung])
        return climbs

    def predict(self, evidence: pa.Table) -> Floats:
        """p(correct) by what is known of each proposal.

        Args:
            evidence: Proposals with their evidence, null where they were not checked.

        Returns:
            float[N].

        Raises:
            ArtefactError: The proposals are another detector's.
        """
        alone = evidence["agreement"].is_valid().to_numpy(zero_copy_only=False)
        pasted = alone & (evidence["checks"].to_numpy() > 0)
        p_correct = np.zeros(len(evidence))
        for rung, rows in zip(self.rungs, (~alone, alone & ~pasted, pasted), strict=True):
            p_correct[rows] = rung.predict(evidence.filter(pa.array(rows)))
        return p_correct

    def replay(self, evidence: pa.Table) -> Floats:
        """p(correct) of proposals with all evidence as if only those that climb had been checked.

        Args:
            evidence: Proposals with their evidence.

        Returns:
            float[N].
        """
        p_correct = self.rungs[0].predict(evidence)
        rows: NDArray[np.intp] = np.arange(len(evidence))
        for rung, ranges in zip(self.rungs[1:], self.climbing, strict=True):
            rows = rows[_within(p_correct[rows], evidence.take(rows), ranges)]
            p_correct[rows] = rung.predict(evidence.take(rows))
        return p_correct

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them back."""
        return {"rungs": [one.to_json() for one in self.rungs], "climbing": [dict(one) for one in self.climbing]}

    @staticmethod
    def from_json(values: dict[str, Any]) -> Ladder:
        """Read what `to_json` wrote."""
        climbing = ({label: (low, high) for label, (low, high) in one.items()} for one in values["climbing"])
        return Ladder(tuple(Calibrator.from_json(one) for one in values["rungs"]), tuple(climbing))


def fit_ladder(
    evidence: pa.Table,
    right: Flags,
    prices: Floats,
    settings: SelectionSettings,
    *,
    budget: float | None,
    model_id: str,
) -> Ladder:
    """Fit a calibrator a rung and choose who climbs.

    Args:
        evidence: Proposals with all evidence, in labelled pictures that the detector was not trained on.
        right: bool[N].
        prices: float[N, 2], what each climb of each proposal costs, in detection passes over its picture.
        settings: The promised precision, and which classes are pooled.
        budget: Detection passes a picture for all checks; None: no limit.
        model_id: The detector whose proposals these are.

    Returns:
        The ladder.
    """
    rungs = tuple(
        fit_calibrator(evidence, right, min_class_boxes=settings.min_class_boxes, features=features, model_id=model_id)
        for features in RUNGS
    )
    p_correct = [rung.predict(evidence) for rung in rungs]
    labels = evidence["label"].to_numpy(zero_copy_only=False)
    turns = _turning_points(p_correct[-1], labels, settings)
    images = pc.count_distinct(evidence["image_id"]).as_py()
    allowance = np.inf if budget is None else budget * images / (len(rungs) - 1)
    climbing: list[Ranges] = []
    rows: NDArray[np.intp] = np.arange(len(evidence))
    for before, after, price in zip(p_correct[:-1], p_correct[1:], prices.T, strict=True):
        ranges = _ranges(before[rows], after[rows], labels[rows], turns, price[rows], allowance)
        climbing.append(ranges)
        rows = rows[_within(before[rows], evidence.take(rows), ranges)]
    return Ladder(rungs, tuple(climbing))


def out_of_fold(
    evidence: pa.Table,
    right: Flags,
    prices: Floats,
    settings: SelectionSettings,
    *,
    budget: float | None,
    model_id: str,
) -> tuple[Floats, Floats]:
    """p(correct) of each box from a ladder that has not seen its picture.

    Args:
        evidence: As for `fit_ladder`.
        right: As for `fit_ladder`.
        prices: As for `fit_ladder`.
        settings: As for `fit_ladder`; pictures are dealt to `folds` folds.
        budget: As for `fit_ladder`.
        model_id: As for `fit_ladder`.

    Returns:
        float[N] as the pool's boxes get it, where only those that climb are checked, and float[N] with all evidence.
        With a single picture its own fit serves, which flatters it.
    """
    everything = np.arange(len(right))
    gated, full = np.zeros(len(right)), np.zeros(len(right))
    for fitted, left_out in folds_of(evidence, settings.folds) or [(everything, everything)]:
        ladder = fit_ladder(
            evidence.take(fitted), right[fitted], prices[fitted], settings, budget=budget, model_id=model_id
        )
        gated[left_out] = ladder.replay(evidence.take(left_out))
        full[left_out] = ladder.rungs[-1].predict(evidence.take(left_out))
    return gated, full


def _turning_points(p_correct: Floats, labels: Any, settings: SelectionSettings) -> dict[str, float]:
    """Where the surest boxes of a class, taken together, fall below the promised precision.

    A class that has not half as many of them as a certificate needs has no chance and no entry.
    """
    least = least_boxes(settings.target_precision, settings.confidence) / 2
    turns = {}
    for label in np.unique(labels):
        ranked = np.sort(p_correct[labels == label])[::-1]
        above = np.cumsum(ranked) / np.arange(1, len(ranked) + 1) >= settings.target_precision
        if above.sum() >= least:
            turns[str(label)] = float(ranked[above.sum() - 1])
    return turns


def _ranges(
    before: Floats, after: Floats, labels: Any, turns: Mapping[str, float], price: Floats, allowance: float
) -> dict[str, tuple[float, float]]:
    """The widest range round each turning point that can matter and can be paid."""
    if len(before) == 0 or not turns:
        return {}
    places = _logit(np.array([turns.get(label, np.nan) for label in labels]))
    distance = np.nan_to_num(np.abs(_logit(before) - places), nan=np.inf)
    reach = float(np.quantile(np.abs(_logit(after) - _logit(before)), REACH))
    order = np.argsort(distance, kind="stable")
    affordable = int(np.searchsorted(np.cumsum(price[order]), allowance, side="right"))
    if affordable == 0:
        return {}
    width = min(reach, float(distance[order][affordable - 1])) + _SLACK
    return {label: tuple(expit(_logit(turn) + width * np.array([-1.0, 1.0])).tolist()) for label, turn in turns.items()}


def _within(p_correct: Floats, proposals: pa.Table, ranges: Ranges) -> Flags:
    nowhere = (np.inf, -np.inf)
    limits = np.array([ranges.get(label, nowhere) for label in proposals["label"].to_pylist()]).reshape(-1, 2)
    inside: Flags = (limits[:, 0] <= p_correct) & (p_correct <= limits[:, 1])
    return inside


def _logit(p_correct: Any) -> Floats:
    return np.asarray(logit(np.clip(p_correct, _EDGE, 1 - _EDGE)))
