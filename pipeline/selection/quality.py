"""How well a score distinguishes right boxes from wrong ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from pipeline.artefacts import Reliability, ScoreQuality
from pipeline.seeds import numpy_generator

BINS = 10
RESAMPLES = 200

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def measure_score(score: Floats, right: Flags, images: NDArray[np.str_], true_boxes: int, seed: int) -> ScoreQuality:
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
    bins = reliability(score, right)
    gaps = [abs(mean - share) * count for mean, share, count in bins]
    return ScoreQuality(
        auroc=auroc(score, right),
        auroc_interval=_auroc_interval(score, right, images, seed),
        ap=float(average_precision_score(right, score)) if right.any() else None,
        ece=float(sum(gaps) / len(score)),
        brier=float(np.mean((score - right) ** 2)),
        recall_at_p95=recall_at(score, right, true_boxes, 0.95),
        reliability=bins,
    )


def reliability(score: Floats, right: Flags) -> Reliability:
    """Share of right boxes in ten bins of equal mass, by ascending score; fewer bins of fewer boxes."""
    order = np.argsort(score, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return tuple((float(score[part].mean()), float(right[part].mean()), len(part)) for part in parts)


def auroc(score: Floats, right: Flags) -> float | None:
    """Chance that a right box scores above a wrong one, ties counted half; None where all are right, or all wrong."""
    return float(_weighted_auroc(score, right, np.ones((1, len(score))))[0]) if 0 < right.sum() < len(right) else None


def auroc_gain(
    score: Floats, baseline: Floats, right: Flags, images: NDArray[np.str_], seed: int
) -> tuple[float, float]:
    """By how much the AUROC of one score exceeds that of another.

    Args:
        score: float[N], higher = more likely right.
        baseline: float[N], of the same boxes.
        right: bool[N], some true and some false.
        images: The image of each box; boxes of one image are resampled together.
        seed: Drives the bootstrap.

    Returns:
        95 % interval of the difference.
    """
    weights = _resample(right, images, seed)
    return _interval(_weighted_auroc(score, right, weights) - _weighted_auroc(baseline, right, weights))


def _auroc_interval(score: Floats, right: Flags, images: NDArray[np.str_], seed: int) -> tuple[float, float] | None:
    if right.all() or not right.any():
        return None
    return _interval(_weighted_auroc(score, right, _resample(right, images, seed)))


def _weighted_auroc(score: Floats, right: Flags, weights: Floats) -> Floats:
    """AUROC under each row of weights, float[R, N]; sorted once for all rows, which a bootstrap repays."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    ordered = weights[:, order]
    above = np.add.reduceat(ordered * right[order], starts, axis=1)
    below = np.add.reduceat(ordered * ~right[order], starts, axis=1)
    lower = np.cumsum(below, axis=1) - below / 2
    return np.asarray((above * lower).sum(1) / (above.sum(1) * below.sum(1)))


def recall_at(score: Floats, right: Flags, true_boxes: int, precision: float) -> float:
    """Share of all true boxes that are among those above the loosest threshold of a precision; 0 where none is right.

    Args:
        score: float[N], higher = more likely right.
        right: bool[N].
        true_boxes: How many there are.
        precision: Above the threshold.
    """
    if not right.any():
        return 0.0
    precisions, recalls, _ = precision_recall_curve(right, score)
    return float(recalls[precisions >= precision].max() * right.sum() / max(1, true_boxes))


def _resample(right: Flags, images: NDArray[np.str_], seed: int) -> Floats:
    """How often each box is drawn, float[R, N], when images are drawn with replacement; draws need both kinds."""
    random = numpy_generator(seed, "bootstrap")
    _, group = np.unique(images, return_inverse=True)
    count = int(group.max()) + 1
    draws = [np.bincount(random.integers(0, count, count), minlength=count) for _ in range(RESAMPLES)]
    weights = np.stack(draws).astype(np.float64)[:, group]
    both_kinds = (weights[:, right].sum(1) > 0) & (weights[:, ~right].sum(1) > 0)
    return np.asarray(weights[both_kinds])


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
