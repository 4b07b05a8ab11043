"""Certificates: for each class the loosest threshold whose precision is promised, with a stated confidence.

What is promised, exactly: with the stated confidence, of all boxes like the held-back ones whose p(correct) reaches the
threshold, at least the target share is right. It holds for one class and one calibration, not for all classes and all
cycles at once: of twenty promises at 95 % one may be broken. What it rests on:

- The held-back images are drawn like the pool. A pool that differs breaks it, which blind audits are there to see.
- Images are independent, boxes of one image need not be: the bound counts effective boxes (see `clusters`).
- The held-back boxes get their p(correct) from models fitted on other images, the pool's from one fitted on all. The
  two are not the same function, so that the promise is as good as cross-validation is, and no better: exact for each
  fold's model, close for the one in use.
- The detector is chosen on the same held-back images (the gate, and the length of its training), which flatters
  it a little.
- With a committee, all members share one calibration: held-back images and the pool are dealt to them alike. Images
  that people were asked about are held back too and are no random draw, but what the machine understands least.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc
from scipy.stats import beta, poisson

from pipeline.artefacts import Certificate
from pipeline.selection.clusters import design_effect

STEP = 1.1
"""Each threshold tried keeps so many times the boxes of the one before."""
PRECISIONS = (0.95, 0.9, 0.8)
"""Of which the highest is named that can be promised."""
_TINY = 1e-9


def lower_bound(right: float, boxes: float, confidence: float) -> float:
    """One-sided Clopper-Pearson bound on a share (Biometrika 26, 1934).

    Args:
        right: Successes; effective numbers, which need not be whole, give the bound of Korn and Graubard (Survey
            Methodology 24, 1998).
        boxes: Trials.
        confidence: Of the bound, such as 0.95.

    Returns:
        The share that is exceeded with this confidence; 0 for no successes.
    """
    return float(beta.ppf(1 - confidence, right, boxes - right + 1)) if right else 0.0


def upper_bound(right: int, boxes: int, confidence: float) -> float:
    """The share that is not reached with this confidence; 1 where all are right, or there is nothing to judge by."""
    return 1 - lower_bound(boxes - right, boxes, confidence)


def least_boxes(target: float, confidence: float) -> int:
    """How many boxes, all right, certify a precision: 59 for 0.95 at 95 %."""
    return math.ceil(math.log(1 - confidence) / math.log(target))


@dataclass(frozen=True)
class ScoredBoxes:
    """Held-back boxes that a promise rests on.

    Attributes:
        p_correct: float[N], from models that have not seen their images.
        right: bool[N].
        groups: int[N], from 0: the image of each box, or its family of near-duplicates.
    """

    p_correct: NDArray[np.float64]
    right: NDArray[np.bool_]
    groups: NDArray[np.intp]

    def __getitem__(self, rows: NDArray[np.intp]) -> ScoredBoxes:
        """Some of them."""
        return ScoredBoxes(self.p_correct[rows], self.right[rows], self.groups[rows])


def certify_class(
    label: str, boxes: ScoredBoxes, *, target: float, confidence: float, correlation: float = 0.0
) -> Certificate:
    """Find the loosest threshold of one class whose precision is certified.

    Thresholds are tried from a strict one to looser ones, each keeping a tenth more boxes, and the first failure ends
    the search. Testing in an order fixed by the scores alone, up to the first failure, keeps the chance of any false
    promise within `1 - confidence` without dividing it among thresholds (fixed-sequence testing, as in Learn then
    Test, arXiv 2110.01052). The search starts where it is likeliest to succeed if p(correct) means what it says, which
    no label of the boxes has a part in.

    Args:
        label: The class.
        boxes: Those of the class.
        target: Promised precision.
        confidence: Of the promise.
        correlation: Of the errors of two boxes of a group, see `clusters.error_correlation`.

    Returns:
        The certificate.
    """
    ranked = boxes[np.argsort(-boxes.p_correct, kind="stable")]
    scores, hits = ranked.p_correct, np.cumsum(ranked.right, dtype=np.int64)
    least = least_boxes(target, confidence)
    trials = [_Trial(n, n / design_effect(ranked.groups[:n], correlation)) for n in _sizes(scores, least)]
    if not trials:
        return _hopeless(label, boxes.right, least)
    start = _start(trials, scores, target, confidence)
    best: Certificate | None = None
    for trial in trials[start:]:
        found = int(hits[trial.boxes - 1])
        bound = trial.bound(found, confidence)
        if bound < target:
            break
        threshold = float(scores[trial.boxes - 1])
        best = Certificate(label, True, threshold, trial.boxes, found, bound, "", trial.effective)
    return best or _uncertified(label, hits, trials[start], target, confidence)


def highest_precision(boxes: ScoredBoxes, *, confidence: float, correlation: float = 0.0) -> float | None:
    """The highest of `PRECISIONS` that is certified, at a threshold of its own; see `certify_class` for the arguments.

    Each is tried with its share of the risk, so that whichever is named holds with the stated confidence.

    Returns:
        None where none is.
    """
    shared = 1 - (1 - confidence) / len(PRECISIONS)
    certified = (
        target
        for target in PRECISIONS
        if certify_class("", boxes, target=target, confidence=shared, correlation=correlation).certified
    )
    return next(certified, None)


@dataclass(frozen=True)
class _Trial:
    """A threshold by the number of boxes that reach it, and what they are worth."""

    boxes: int
    effective: float

    def bound(self, right: int, confidence: float) -> float:
        share = self.effective / self.boxes
        return lower_bound(right * share, self.effective, confidence)

    def most_wrong(self, target: float, confidence: float) -> int:
        """How many wrong boxes the promise survives; -1 where not even none."""
        right = np.arange(self.boxes, math.floor(self.boxes * target) - 1, -1) * (self.effective / self.boxes)
        kept = betainc(np.maximum(right, _TINY), self.effective - right + 1, target) <= 1 - confidence
        return int(kept.sum()) - 1


def _sizes(scores: NDArray[np.float64], least: int) -> list[int]:
    """Numbers of boxes to try, ascending, boxes of equal score together."""
    sizes: list[int] = []
    size = float(least)
    while round(size) <= len(scores):
        sizes.append(_with_ties(scores, round(size)))
        size = max(sizes[-1] + 1, size * STEP)
    return sizes


def _with_ties(scores: NDArray[np.float64], count: int) -> int:
    """A threshold keeps all boxes of equal score."""
    return int(np.searchsorted(-scores, -scores[count - 1], side="right"))


def _start(trials: list[_Trial], scores: NDArray[np.float64], target: float, confidence: float) -> int:
    """The trial that is likeliest to succeed by the scores; among equals the first."""
    expected_wrong = np.cumsum(1 - scores)
    survived = np.array([trial.most_wrong(target, confidence) for trial in trials])
    expected = expected_wrong[[trial.boxes - 1 for trial in trials]]
    return int(np.argmax(poisson.cdf(survived, expected)))


def _hopeless(label: str, right: NDArray[np.bool_], least: int) -> Certificate:
    boxes = len(right)
    needed = f"at least {least} held-back boxes of this class, all right; there are {boxes}"
    return Certificate(label, False, None, boxes, int(right.sum()), None, needed)


def _uncertified(label: str, hits: NDArray[np.int64], tried: _Trial, target: float, confidence: float) -> Certificate:
    boxes, right, top = len(hits), int(hits[-1]), int(hits[tried.boxes - 1])
    allowed = tried.most_wrong(target, confidence)
    asked = tried.boxes - allowed
    if allowed < 0:
        needed = (
            f"held-back boxes of this class in more images: as errors come together in images, the surest "
            f"{tried.boxes} are worth {tried.effective:.0f} that stand alone, and "
            f"{least_boxes(target, confidence)} are needed"
        )
    elif right < asked:
        needed = f"at least {asked} right held-back boxes of this class; {right} of {boxes} are right"
    else:
        needed = (
            f"at least {asked} right ones among the surest {tried.boxes} held-back boxes for a precision over "
            f"{target:g}; {top} are right"
        )
    return Certificate(label, False, None, boxes, right, None, needed, tried.effective)
