"""Boxes of one image go right and wrong together: how much, and what a count of them is worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIKELY = 0.5
"""The correlation is measured on boxes with at least this p(correct), which are like those that are kept."""
_LEAST_VARIANCE = 0.01  # so that a single surprise does not weigh more than a hundred ordinary boxes


def error_correlation(p_correct: NDArray[np.float64], right: NDArray[np.bool_], groups: NDArray[np.intp]) -> float:
    """Measure how much the errors of boxes of one group have in common.

    Args:
        p_correct: float[N], from a model that has not seen the boxes.
        right: bool[N].
        groups: int[N], from 0: the image of each box, or its family of near-duplicates.

    Returns:
        Mean product of the Pearson residuals of two boxes of a group, over their mean square, 0 to 1; 0 where no group
        has two likely boxes. A negative correlation counts as none.
    """
    likely = p_correct >= LIKELY
    p, hit, group = p_correct[likely], right[likely], groups[likely]
    residual = (hit - p) / np.sqrt(np.maximum(p * (1 - p), _LEAST_VARIANCE))
    squares = residual**2
    pairs = np.bincount(group) * (np.bincount(group) - 1.0)
    if not pairs.sum() or not squares.sum():
        return 0.0
    products = np.bincount(group, weights=residual) ** 2 - np.bincount(group, weights=squares)
    return float(np.clip(products.sum() / pairs.sum() / squares.mean(), 0.0, 1.0))


def design_effect(groups: NDArray[np.intp], correlation: float) -> float:
    """How many boxes of these are worth one that stands alone (Kish, Survey Sampling, 1965).

    Args:
        groups: int[N], the group of each box.
        correlation: Of the errors of two boxes of a group.

    Returns:
        `1 + (m - 1) * correlation`, with m the size of the group of an average box; 1 for no boxes.
    """
    sizes = np.bincount(groups).astype(np.float64)
    return 1.0 if not len(groups) else float(1 + (np.sum(sizes**2) / len(groups) - 1) * correlation)
