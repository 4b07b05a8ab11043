"""The cascade of evidence: cheap for every proposal, dearer only where it can change what becomes of it.

What is known of a proposal is how closely it was looked at (the detection alone, an augmented view of its image, a
close-up too) and whether it was pasted; each of these six states has its own calibrator. Every proposal that would not
be dropped is pasted. A proposal gets another look when its class has a chance of being certified and its p(correct) is
so near to the threshold that the look may carry it across, nearest first, as far as the budget reaches. An augmented
view serves all proposals of an image, so that they get it together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.selection.calibrator import (
    CHEAP,
    CLOSER,
    LOOKED,
    Calibrator,
    Flags,
    Floats,
)
from pipeline.selection.class_affinity import (
    AFFINITY,
    ClassAffinity,
    measure_affinity,
    with_affinity,
)
from pipeline.selection.escalation import Ranges, who_advances

BARE = (*CHEAP, *AFFINITY)
LOOKS = (BARE, (*BARE, *LOOKED), (*BARE, *LOOKED, *CLOSER))
"""What is known of a proposal that was looked at once, twice and closer; pastes add theirs to each."""


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
        # Names are most of a large table, and are not looked at.
        evidence = evidence.select([name for name in evidence.column_names if name not in _NAMES])
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


_NAMES = ("proposal_id", "image_id", "embedding")


def _standing(evidence: pa.Table) -> NDArray[np.int64]:
    """The stage of each proposal."""
    pasted: Flags = evidence["checks"].to_numpy() > 0
    return 2 * _look(evidence) + pasted.astype(np.int64)
