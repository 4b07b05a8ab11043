"""The ladder of evidence: cheap for every proposal, dearer only where it can change what becomes of it.

A proposal stands on a rung by the evidence that it has: that of the detection itself, of a second look at its image
as well, shown closer as well, or pasted in one round or several as well. Each rung has a calibrator of its own. A
proposal climbs when its class has a chance of being certified and its p(correct) is so near to the threshold that the
next evidence may carry it across, nearest first, as far as the budget reaches. A second look serves all proposals of a
image, so that they climb to it together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
from pipeline.selection.class_affinity import LIKENESS, Likeness, Names, fit_likeness, unseen_likeness, with_likeness
from pipeline.selection.escalation import LOOK, Ranges, choose_ranges, turning_points, who_climbs
from pipeline.settings import SelectionSettings

BARE = (*CHEAP, *LIKENESS)
LOOKED_AT, SHOWN = (*BARE, *LOOKED), (*BARE, *LOOKED, *CLOSER)
"""What is known of a proposal on the first three rungs; every later one adds what its pastes say."""
SPENT = 0.75
"""Share of what is left of the budget that a rung may spend; the last one may spend all of it."""


@dataclass(frozen=True)
class Ladder:
    """Calibrators, and who climbs from one to the next.

    Attributes:
        rungs: A calibrator each: of bare detections, after a second look, of those shown closer, and of those pasted,
            a rung a round.
        climbing: Of all rungs but the last.
        rounds: How many pastes a proposal has had after each round.
        likeness: What objects of each class look like to the detector.
        budget: Detection passes that checks of an image may cost on average; None: no limit.
    """

    rungs: tuple[Calibrator, ...]
    climbing: tuple[Ranges, ...]
    rounds: tuple[int, ...]
    likeness: Likeness = field(default_factory=Likeness)
    budget: float | None = None

    def climbs(self, evidence: pa.Table) -> Flags:
        """Which proposals are worth the evidence of the next rung.

        Args:
            evidence: Proposals with the evidence that they have.

        Returns:
            bool[N].
        """
        climbs = np.zeros(len(evidence), dtype=np.bool_)
        evidence, standing = self._likened(evidence), self._standing(evidence)
        for rung, ranges in enumerate(self.climbing):
            rows = standing == rung
            there = evidence.filter(pa.array(rows))
            climbs[rows] = who_climbs(rung, self.rungs[rung].predict(there), there, ranges)
        return climbs

    def predict(self, evidence: pa.Table) -> Floats:
        """p(correct) by what is known of each proposal.

        Args:
            evidence: Proposals with their evidence, null where they were not checked; with the features of likeness in
                place of embeddings, where these are not at hand.

        Returns:
            float[N].

        Raises:
            ArtefactError: The proposals are another detector's.
        """
        p_correct, standing = np.zeros(len(evidence)), self._standing(evidence)
        evidence = self._likened(evidence)
        for number, rung in enumerate(self.rungs):
            rows = standing == number
            p_correct[rows] = rung.predict(evidence.filter(pa.array(rows)))
        return p_correct

    def predict_on(self, rung: int, evidence: pa.Table) -> Floats:
        """p(correct) by the evidence of one rung, whatever else is known.

        Args:
            rung: Which, -1 for the last.
            evidence: Proposals with at least that evidence.

        Returns:
            float[N].
        """
        return self.rungs[rung].predict(self._likened(evidence))

    def _likened(self, evidence: pa.Table) -> pa.Table:
        """With the features of likeness, where it has none yet."""
        if set(LIKENESS) <= set(evidence.column_names):
            return evidence
        return with_likeness(evidence, self.likeness.measure(evidence))

    def _standing(self, evidence: pa.Table) -> NDArray[np.int64]:
        """The rung of each proposal."""
        looked, shown = (
            evidence[name].is_valid().to_numpy(zero_copy_only=False) for name in ("second_score", "agreement")
        )
        pasted = np.searchsorted(self.rounds, evidence["checks"].to_numpy(), side="right")
        return np.where(looked, np.where(shown, 2 + pasted, 1), 0)

    def replay(self, evidence: Sequence[pa.Table]) -> Floats:
        """p(correct) of proposals with all evidence as if only those that climb had been checked.

        Args:
            evidence: The same proposals with their evidence after each round of pastes.

        Returns:
            float[N].
        """
        told = self.likeness.measure(evidence[-1])
        tables = _by_rung([with_likeness(one, told) for one in evidence])
        p_correct = self.rungs[0].predict(tables[0])
        rows: NDArray[np.intp] = np.arange(len(p_correct))
        for number, (ranges, table) in enumerate(zip(self.climbing, tables[1:], strict=True)):
            rows = rows[who_climbs(number, p_correct[rows], table.take(rows), ranges)]
            p_correct[rows] = self.rungs[number + 1].predict(table.take(rows))
        return p_correct

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them back."""
        return {
            "rungs": [one.to_json() for one in self.rungs],
            "climbing": [dict(one) for one in self.climbing],
            "rounds": list(self.rounds),
            "likeness": self.likeness.to_json(),
            "budget": self.budget,
        }

    @staticmethod
    def from_json(values: dict[str, Any]) -> Ladder:
        """Read what `to_json` wrote."""
        climbing = ({label: (low, high) for label, (low, high) in one.items()} for one in values["climbing"])
        rungs = tuple(Calibrator.from_json(one) for one in values["rungs"])
        likeness = Likeness.from_json(values["likeness"])
        return Ladder(rungs, tuple(climbing), tuple(values["rounds"]), likeness, values["budget"])


def fit_ladder(
    evidence: Sequence[pa.Table],
    right: Flags,
    objects: Names,
    prices: Floats,
    settings: SelectionSettings,
    *,
    rounds: tuple[int, ...],
    budget: float | None,
    model_id: str,
) -> Ladder:
    """Fit a calibrator a rung and choose who climbs.

    Args:
        evidence: Proposals in labelled images that the detector was not trained on, with their evidence after each
            round of pastes.
        right: bool[N].
        objects: str[N], the class of the object that each shows, right or not; `likeness.NOTHING` for none.
        prices: float[N, 2 + rounds], what each climb of each proposal costs, in detection passes over its image; the
            first is paid once an image.
        settings: The promised precision, and which classes are pooled.
        rounds: How many pastes a proposal has had after each round.
        budget: Detection passes an image for all checks; None: no limit.
        model_id: The detector whose proposals these are.

    Returns:
        The ladder.
    """
    told = unseen_likeness(evidence[-1], objects, folds_of(evidence[-1], settings.folds))
    tables = _by_rung([with_likeness(one, told) for one in evidence])
    features = (BARE, LOOKED_AT, SHOWN, *[(*SHOWN, *PASTED)] * len(rounds))
    rungs = tuple(
        fit_calibrator(table, right, min_class_boxes=settings.min_class_boxes, features=names, model_id=model_id)
        for table, names in zip(tables, features, strict=True)
    )
    p_correct = [rung.predict(table) for rung, table in zip(rungs, tables, strict=True)]
    labels = tables[0]["label"].to_numpy(zero_copy_only=False)
    turns = turning_points(p_correct[-1], labels, settings)
    images = tables[0]["image_id"].to_numpy(zero_copy_only=False)
    left = np.inf if budget is None else budget * len(np.unique(images))
    climbing: list[Ranges] = []
    rows: NDArray[np.intp] = np.arange(len(right))
    for rung, (before, after, price) in enumerate(zip(p_correct[:-1], p_correct[1:], prices.T, strict=True)):
        allowance = left if rung == len(rungs) - 2 else left * SPENT
        turning = (before[rows], after[rows], labels[rows], turns)
        ranges, spent = choose_ranges(*turning, price[rows], allowance, images[rows] if rung == LOOK else None)
        left -= spent
        climbing.append(ranges)
        rows = rows[who_climbs(rung, before[rows], tables[0].take(rows), ranges)]
    return Ladder(rungs, tuple(climbing), rounds, fit_likeness(evidence[-1], objects), budget)


def out_of_fold(
    evidence: Sequence[pa.Table],
    right: Flags,
    objects: Names,
    prices: Floats,
    settings: SelectionSettings,
    *,
    rounds: tuple[int, ...],
    budget: float | None,
    model_id: str,
) -> tuple[Floats, Floats]:
    """p(correct) of each box from a ladder that has not seen its image.

    Args:
        evidence: As for `fit_ladder`.
        right: As for `fit_ladder`.
        objects: As for `fit_ladder`.
        prices: As for `fit_ladder`.
        settings: As for `fit_ladder`; images are dealt to `folds` folds.
        rounds: As for `fit_ladder`.
        budget: As for `fit_ladder`.
        model_id: As for `fit_ladder`.

    Returns:
        float[N] as the pool's boxes get it, where only those that climb are checked, and float[N] with all evidence.
        With a single image its own fit serves, which flatters it.
    """
    everything = np.arange(len(right))
    gated, full = np.zeros(len(right)), np.zeros(len(right))
    for fitted, left_out in folds_of(evidence[-1], settings.folds) or [(everything, everything)]:
        ladder = fit_ladder(
            [one.take(fitted) for one in evidence], right[fitted], objects[fitted], prices[fitted], settings,
            rounds=rounds, budget=budget, model_id=model_id,
        )  # fmt: skip
        unseen = [one.take(left_out) for one in evidence]
        gated[left_out] = ladder.replay(unseen)
        full[left_out] = ladder.predict_on(-1, unseen[-1])
    return gated, full


def _by_rung(evidence: Sequence[pa.Table]) -> list[pa.Table]:
    """A table a rung; what the first three look at is in all of them."""
    return [evidence[-1], evidence[-1], evidence[-1], *evidence]
