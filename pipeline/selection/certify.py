"""Certificates: for each class the loosest threshold whose precision is promised, with a stated confidence."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

STEP = 1.1
"""Each threshold tried keeps so many times the boxes of the one before."""


@dataclass(frozen=True)
class Certificate:
    """What is promised for one class.

    Attributes:
        label: The class.
        certified: Whether any threshold could be certified.
        threshold: Least p(correct) of a pseudo-label; None where nothing is certified.
        boxes: Held-back boxes at or above the threshold (all of the class where nothing is certified).
        right: Right ones among them.
        lower_bound: Clopper-Pearson lower bound on precision; None where nothing is certified.
        needed: What would be needed, in words; empty where certified.
    """

    label: str
    certified: bool
    threshold: float | None
    boxes: int
    right: int
    lower_bound: float | None
    needed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def lower_bound(right: int, boxes: int, confidence: float) -> float:
    """One-sided Clopper-Pearson bound on a share (Biometrika 26, 1934).

    Args:
        right: Successes.
        boxes: Trials.
        confidence: Of the bound, such as 0.95.

    Returns:
        The share that is exceeded with this confidence; 0 for no successes.
    """
    return float(beta.ppf(1 - confidence, right, boxes - right + 1)) if right else 0.0


def least_boxes(target: float, confidence: float) -> int:
    """How many boxes, all right, certify a precision: 59 for 0.95 at 95 %."""
    return math.ceil(math.log(1 - confidence) / math.log(target))


def certify_class(
    label: str, p_correct: NDArray[np.float64], right: NDArray[np.bool_], *, target: float, confidence: float
) -> Certificate:
    """Find the loosest threshold of one class whose precision is certified.

    Thresholds are tried from the strictest that could succeed to looser ones, each keeping a tenth more boxes, and
    the first failure ends the search. Testing in an order fixed by the scores alone, up to the first failure, keeps
    the chance of any false promise within `1 - confidence` without dividing it among thresholds (fixed-sequence
    testing, as in Learn then Test, arXiv 2110.01052).

    Args:
        label: The class.
        p_correct: float[N], of held-back boxes of the class, from a model that has not seen them.
        right: bool[N].
        target: Promised precision.
        confidence: Of the promise.

    Returns:
        The certificate.
    """
    order = np.argsort(-p_correct, kind="stable")
    scores, hits = p_correct[order], np.cumsum(right[order], dtype=np.int64)
    least = least_boxes(target, confidence)
    best: Certificate | None = None
    size = float(least)
    while round(size) <= len(scores):
        count = _with_ties(scores, round(size))
        bound = lower_bound(int(hits[count - 1]), count, confidence)
        if bound < target:
            break
        best = Certificate(label, True, float(scores[count - 1]), count, int(hits[count - 1]), bound)
        size = max(count + 1, size * STEP)
    return best or _uncertified(label, scores, hits, least, target)


def _with_ties(scores: NDArray[np.float64], count: int) -> int:
    """A threshold keeps all boxes of equal score."""
    return int(np.searchsorted(-scores, -scores[count - 1], side="right"))


def _uncertified(
    label: str, scores: NDArray[np.float64], hits: NDArray[np.int64], least: int, target: float
) -> Certificate:
    boxes = len(scores)
    right = int(hits[-1]) if boxes else 0
    if boxes < least:
        needed = f"at least {least} held-back boxes of this class, all right; there are {boxes}"
    else:
        surest = _with_ties(scores, least)
        top = int(hits[surest - 1])
        needed = f"a precision over {target:g} among the surest {surest} held-back boxes; {top} of them are right"
    return Certificate(label, False, None, boxes, right, None, needed)
