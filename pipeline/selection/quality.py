"""How good a score is at telling right boxes from wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from pipeline.seeds import numpy_generator

BINS = 10
RESAMPLES = 200


@dataclass(frozen=True)
class Quality:
    """Measures of one score; None where they are undefined (all boxes right, or all wrong).

    Attributes:
        auroc: Chance that a right box scores above a wrong one.
        auroc_interval: 95 % by bootstrap over images.
        ap: Average precision.
        ece: Expected calibration error, ten bins of equal mass; of scores that are no probabilities too.
        brier: Mean squared error as a probability.
        recall_at_p95: Largest share of true boxes kept at a precision of at least 0.95.
        reliability: A row a bin: mean score, share of right boxes, boxes.
    """

    auroc: float | None
    auroc_interval: tuple[float, float] | None
    ap: float | None
    ece: float
    brier: float
    recall_at_p95: float
    reliability: list[tuple[float, float, int]]


def measure(
    score: NDArray[np.float64], right: NDArray[np.bool_], images: NDArray[np.str_], true_boxes: int, seed: int
) -> Quality:
    """Measure a score on boxes whose truth is known.

    Args:
        score: float[N], higher = more likely right.
        right: bool[N].
        images: The image of each box; boxes of one image are resampled together.
        true_boxes: True boxes in those images, found or not.
        seed: Drives the bootstrap.

    Returns:
        The measures.

    Raises:
        ValueError: There are no boxes.
    """
    if len(score) == 0:
        raise ValueError("Expected boxes to measure a score on, got none")
    both = 0 < right.sum() < len(right)
    reliability = _reliability(score, right)
    gaps = [abs(mean - share) * count for mean, share, count in reliability]
    return Quality(
        auroc=float(roc_auc_score(right, score)) if both else None,
        auroc_interval=_interval(score, right, images, seed) if both else None,
        ap=float(average_precision_score(right, score)) if right.any() else None,
        ece=float(sum(gaps) / len(score)),
        brier=float(np.mean((score - right) ** 2)),
        recall_at_p95=_recall_at(score, right, true_boxes, 0.95),
        reliability=reliability,
    )


def auroc_gain(
    score: NDArray[np.float64],
    rival: NDArray[np.float64],
    right: NDArray[np.bool_],
    images: NDArray[np.str_],
    seed: int,
) -> tuple[float, float]:
    """By how much one score tells right boxes from wrong ones better than another does.

    Args:
        score: float[N], higher = more likely right.
        rival: float[N], of the same boxes.
        right: bool[N], some true and some false.
        images: The image of each box; boxes of one image are resampled together.
        seed: Drives the bootstrap.

    Returns:
        95 % interval of the difference in AUROC.
    """

    def gain(weight: NDArray[np.int64]) -> float:
        ours, theirs = (roc_auc_score(right, one, sample_weight=weight) for one in (score, rival))
        return float(ours - theirs)

    return _resampled(gain, right, images, seed)


def _reliability(score: NDArray[np.float64], right: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    order = np.argsort(score, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return [(float(score[part].mean()), float(right[part].mean()), len(part)) for part in parts]


def _recall_at(score: NDArray[np.float64], right: NDArray[np.bool_], true_boxes: int, precision: float) -> float:
    if not right.any():
        return 0.0
    precisions, recalls, _ = precision_recall_curve(right, score)
    return float(recalls[precisions >= precision].max() * right.sum() / max(1, true_boxes))


def _interval(
    score: NDArray[np.float64], right: NDArray[np.bool_], images: NDArray[np.str_], seed: int
) -> tuple[float, float]:
    return _resampled(lambda weight: float(roc_auc_score(right, score, sample_weight=weight)), right, images, seed)


def _resampled(
    value: Callable[[NDArray[np.int64]], float], right: NDArray[np.bool_], images: NDArray[np.str_], seed: int
) -> tuple[float, float]:
    """95 % interval of a value over images drawn again with replacement; it gets how often each box was drawn."""
    random = numpy_generator(seed, "bootstrap")
    _, group = np.unique(images, return_inverse=True)
    count = int(group.max()) + 1
    values = []
    for _ in range(RESAMPLES):
        weight = np.bincount(random.integers(0, count, count), minlength=count)[group]
        if weight[right].sum() and weight[~right].sum():
            values.append(value(weight))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
