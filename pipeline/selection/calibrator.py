"""p(correct): a small calibrated model over what is known of a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from pipeline.errors import ArtefactError
from pipeline.records import NEIGHBOUR_FIELDS, PARTNER_FIELDS, TTA_FIELDS, looked_up

CHEAP = (
    "score_logit",
    "entropy",
    "runner_up",
    "log_side",
    "log_aspect",
    *(name for name, _ in NEIGHBOUR_FIELDS),
)
"""Features that the detection itself gives."""
LOOKED = tuple(name for name, _ in TTA_FIELDS)
"""Features of a proposal whose image was looked at again."""
CLOSER = ("closeup_score", "closeup_iou")
"""Features of a proposal that was shown closer."""
STACKED = tuple(name for name, _ in PARTNER_FIELDS)
"""Features of a proposal that a second member of the committee was asked about: every one with `selection.stacking`."""
PASTED = ("consistency", "hit_fraction", "mean_iou", "spread")
"""Features of a proposal that was pasted."""

STRENGTHS = (0.003, 0.01, 0.03, 0.1)
"""Inverse strengths of the ridge penalty among which cross-validation chooses."""
CONFIDENCE = "score_logit"
CONFIDENCE_STRENGTH = 1.0
"""Of the penalty on confidence alone: a single slope hardly needs one, and falls flat under those of many."""
KNOTS = (0.25, 0.5, 0.75)
"""Quantiles of a feature at which its slope may change."""
_INNER_FOLDS = 5
_EDGE = 1e-4
_TOGETHER = 2**16
"""Proposals whose features are laid out at once: their columns would fill the memory. A power of two, so that each lies
in a block of the same place as without, which leaves its sum the same to the last bit."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class Calibrator:
    """A logistic model whose slope in each feature may change at the feature's quartiles.

    Attributes:
        features: Names of the features it looks at.
        knots: Of each feature, ascending.
        weights: A weight for each feature and one for each of its knots, feature by feature.
        intercept: Of the model.
        offsets: Added for boxes of a class; classes without an entry are pooled.
        boxes: How many boxes it was fitted on.
        model_id: The detector whose proposals it was fitted on; another's are refused.
    """

    features: tuple[str, ...]
    knots: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    intercept: float
    offsets: dict[str, float]
    boxes: int
    model_id: str

    def predict(self, evidence: pa.Table) -> Floats:
        """Probability of being right.

        Args:
            evidence: Proposals with the evidence that the features need.

        Returns:
            float[N], 0 to 1, higher = more likely right.

        Raises:
            ArtefactError: The proposals are another detector's.
        """
        others = set(evidence["model_id"].unique().to_pylist()) - {self.model_id}
        if others:
            raise ArtefactError(
                f"Expected proposals of model {self.model_id}, for which this calibration was made, got those of "
                f"{sorted(others)}. Calibrate again for that model."
            )
        parts = (evidence.slice(start, _TOGETHER) for start in range(0, len(evidence), _TOGETHER))
        return np.concatenate([np.zeros(0), *map(self._predict, parts)])

    def _predict(self, evidence: pa.Table) -> Floats:
        offsets = looked_up(evidence["label"], self.offsets, 0.0)
        bent = _bend(feature_matrix(evidence, self.features), self.knots)
        return np.asarray(expit(bent @ np.array(self.weights) + self.intercept + offsets))


def feature_matrix(evidence: pa.Table, features: Sequence[str]) -> Floats:
    """Lay features out in columns.

    Args:
        evidence: Proposals with their evidence; null evidence (not measured) counts as 0.
        features: Which, in order.

    Returns:
        float[N, F].
    """

    def column(name: str) -> Floats:
        return np.asarray(np.nan_to_num(evidence[name].to_numpy(zero_copy_only=False).astype(np.float64)))

    width, height = column("x2") - column("x1"), column("y2") - column("y1")
    score = column("score").clip(_EDGE, 1 - _EDGE)
    derived = {
        "score_logit": logit(score),
        "log_side": 0.5 * np.log((width * height).clip(1)),
        "log_aspect": np.log(width.clip(1) / height.clip(1)),
    }
    columns = [derived[name] if name in derived else column(name) for name in features]
    return np.stack(columns, axis=1) if columns else np.zeros((len(evidence), 0))


def fit_calibrator(
    evidence: pa.Table, right: Flags, *, min_class_boxes: int, features: Sequence[str], model_id: str
) -> Calibrator:
    """Fit p(correct) on proposals whose truth is known.

    The strength of the penalty is the one with the least log loss on images that were left out. Where confidence alone
    (Platt scaling) predicts these better still, as it may where few boxes say what many features are worth, the others
    weigh nothing. With fewer than two right or two wrong boxes there is nothing to learn from: every box then gets the
    share of right ones, `(right + 1) / (boxes + 2)`. A single feature is not bent, so that boxes of a class rank as it
    ranks them.

    Args:
        evidence: Proposals in labelled images that the detector was not trained on.
        right: bool[N].
        min_class_boxes: A class with fewer boxes is pooled with others.
        features: What to look at.
        model_id: The detector whose proposals these are.

    Returns:
        The fitted model.
    """
    names, matrix = tuple(features), feature_matrix(evidence, features)
    bare = ((),) * len(names)
    if min(right.sum(), (~right).sum()) < 2:
        share = (right.sum() + 1) / (len(right) + 2)
        return Calibrator(names, bare, (0.0,) * len(names), float(logit(share)), {}, len(right), model_id)
    knots = tuple(_knots(column) if len(names) > 1 else () for column in matrix.T)
    labels = evidence["label"].to_numpy(zero_copy_only=False)
    known, counts = np.unique(labels, return_counts=True)
    own = [str(label) for label, count in zip(known, counts, strict=True) if count >= min_class_boxes]
    every = _Columns(np.hstack([_bend(matrix, knots), *((labels == label)[:, None] for label in own)]), right)
    folds = folds_of(evidence, _INNER_FOLDS)
    losses = {strength: every.loss(strength, folds) for strength in STRENGTHS}
    strength = min(losses, key=losses.__getitem__)
    if CONFIDENCE in names and len(names) > 1:
        alone = _Columns(matrix * [name == CONFIDENCE for name in names], right)
        if alone.loss(CONFIDENCE_STRENGTH, folds) < losses[strength]:
            weights, intercept = alone.fit(CONFIDENCE_STRENGTH)
            return Calibrator(names, bare, tuple(weights.tolist()), intercept, {}, len(right), model_id)
    weights, intercept = every.fit(strength)
    bends = len(weights) - len(own)
    return Calibrator(
        names,
        knots,
        tuple(weights[:bends].tolist()),
        intercept,
        dict(zip(own, weights[bends:].tolist(), strict=True)),
        len(right),
        model_id,
    )


class _Columns:
    """What a logistic model looks at, each column brought to mean 0 and deviation 1.

    Args:
        columns: float[N, C].
        right: bool[N].
    """

    def __init__(self, columns: Floats, right: Flags) -> None:
        varies = np.ptp(columns, axis=0) > 0
        self._center, self._spread = columns.mean(0), np.where(varies, columns.std(0), 1.0)
        self._scaled, self._right = (columns - self._center) / self._spread, right

    def fit(self, strength: float) -> tuple[Floats, float]:
        """Weights of the columns as they were given, and the intercept."""
        model = self._model(strength, slice(None))
        weights = model.coef_[0] / self._spread
        return weights, float(model.intercept_[0] - weights @ self._center)

    def loss(self, strength: float, folds: Sequence[Fold]) -> float:
        """Log loss on what was left out, summed; 0 where no fold has both outcomes to fit on."""
        total = 0.0
        for fitted, left_out in folds:
            if 0 < self._right[fitted].sum() < len(fitted):
                logits = self._model(strength, fitted).decision_function(self._scaled[left_out])
                total -= float(log_expit(np.where(self._right[left_out], logits, -logits)).sum())
        return total

    def _model(self, strength: float, rows: NDArray[np.intp] | slice) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=3000).fit(self._scaled[rows], self._right[rows])


def folds_of(evidence: pa.Table, folds: int) -> list[Fold]:
    """Deal proposals to folds, those of one image together.

    Args:
        evidence: Proposals; where it has a `group_id`, those of one family of near-duplicates stay together.
        folds: How many; fewer where there are fewer families, and none with a single one.

    Returns:
        Rows to fit on and rows that are left out, one pair per fold.
    """
    together = "group_id" if "group_id" in evidence.column_names else "image_id"
    groups = evidence[together].to_numpy(zero_copy_only=False)
    folds = min(folds, len(np.unique(groups)))
    return list(GroupKFold(folds).split(groups, groups=groups)) if folds >= 2 else []


def _knots(column: Floats) -> tuple[float, ...]:
    """Quantiles inside the range; a feature that hardly varies has none."""
    inside = np.unique(np.quantile(column, KNOTS))
    return tuple(inside[(inside > column.min()) & (inside < column.max())].tolist())


def _bend(matrix: Floats, knots: Sequence[Sequence[float]]) -> Floats:
    """Each feature, and how far it lies beyond each of its knots."""
    pairs = zip(matrix.T, knots, strict=True)
    parts = [np.column_stack([column, np.maximum(column[:, None] - np.array(places), 0)]) for column, places in pairs]
    return np.hstack([matrix[:, :0], *parts])
