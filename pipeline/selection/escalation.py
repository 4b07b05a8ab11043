"""Who advances the cascade of evidence: proposals near a threshold, nearest first, as far as the budget reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import expit, logit

from pipeline.selection.calibrator import Flags, Floats
from pipeline.selection.certificates import least_boxes
from pipeline.settings import SelectionSettings

REACH = 0.95
"""Proposals advance that lie no farther from the threshold than the next stage moves this share of proposals."""
LOOK = 0
"""The stage from which images are looked at again."""
_EDGE = 1e-6
_SLACK = 1e-9  # so that rounding leaves the outermost on its side

Ranges = Mapping[str, tuple[float, float]]
"""p(correct) from where to where a proposal of a class advances; a class without an entry does not."""


def turning_points(p_correct: Floats, labels: Any, settings: SelectionSettings) -> dict[str, float]:
    """Where the surest boxes of a class, taken together, fall below the promised precision.

    Args:
        p_correct: float[N].
        labels: str[N].
        settings: The promised precision, and how sure it must be.

    Returns:
        p(correct) by class. A class that has not half as many of them as a certificate needs has no chance, and no
        entry.
    """
    least = least_boxes(settings.target_precision, settings.confidence) / 2
    turns = {}
    for label in np.unique(labels):
        ranked = np.sort(p_correct[labels == label])[::-1]
        above = np.cumsum(ranked) / np.arange(1, len(ranked) + 1) >= settings.target_precision
        if above.sum() >= least:
            turns[str(label)] = float(ranked[above.sum() - 1])
    return turns


@dataclass(frozen=True)
class Moves:
    """Proposals on one stage, and what the next would make of them.

    Attributes:
        before: float[N], p(correct) on this stage.
        after: float[N], on the next.
        labels: str[N].
        price: float[N], detection passes that the step costs.
        images: str[N]; where given, the price is paid for the first proposal of each image alone.
    """

    before: Floats
    after: Floats
    labels: Any
    price: Floats
    images: Any = None


def choose_ranges(
    moves: Moves, turns: Mapping[str, float], allowance: float
) -> tuple[dict[str, tuple[float, float]], float]:
    """Choose the widest range round each turning point that can matter and can be paid for.

    Args:
        moves: The proposals on a stage.
        turns: Turning points by class.
        allowance: Most detection passes for all of them.

    Returns:
        The ranges, and what it costs that all within them advance.
    """
    if len(moves.before) == 0 or not turns:
        return {}, 0.0
    places = _logit(np.array([turns.get(label, np.nan) for label in moves.labels]))
    distance = np.nan_to_num(np.abs(_logit(moves.before) - places), nan=np.inf)
    reach = float(np.quantile(np.abs(_logit(moves.after) - _logit(moves.before)), REACH))
    order = np.argsort(distance, kind="stable")
    paid = moves.price[order].copy()
    if moves.images is not None:
        first = np.unique(moves.images[order], return_index=True)[1]
        paid[np.setdiff1d(np.arange(len(order)), first)] = 0.0
    costs = np.cumsum(paid)
    affordable = int(np.searchsorted(costs, allowance, side="right"))
    if affordable == 0:
        return {}, 0.0
    width = min(reach, float(distance[order][affordable - 1])) + _SLACK
    advancing = int((distance <= width).sum())
    ranges = {
        label: tuple(expit(_logit(turn) + width * np.array([-1.0, 1.0])).tolist()) for label, turn in turns.items()
    }
    return ranges, float(costs[advancing - 1]) if advancing else 0.0


def who_advances(stage: int, p_correct: Floats, proposals: pa.Table, ranges: Ranges) -> Flags:
    """Tell who advances from a stage: those within the ranges, and to an augmented view all others of their images.

    Args:
        stage: From 0.
        p_correct: float[N], on that stage.
        proposals: Columns `label` and `image_id`.
        ranges: Of that stage.

    Returns:
        bool[N].
    """
    inside = _within(p_correct, proposals, ranges)
    if stage != LOOK:
        return inside
    images = proposals["image_id"].to_numpy(zero_copy_only=False)
    return np.isin(images, images[inside])


def _within(p_correct: Floats, proposals: pa.Table, ranges: Ranges) -> Flags:
    nowhere = (np.inf, -np.inf)
    limits = np.array([ranges.get(label, nowhere) for label in proposals["label"].to_pylist()]).reshape(-1, 2)
    inside: Flags = (limits[:, 0] <= p_correct) & (p_correct <= limits[:, 1])
    return inside


def _logit(p_correct: Any) -> Floats:
    return np.asarray(logit(np.clip(p_correct, _EDGE, 1 - _EDGE)))
