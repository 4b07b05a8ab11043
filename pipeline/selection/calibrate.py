"""p(correct): a small calibrated model over everything that is known of a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from pipeline.errors import ArtefactError

FEATURES = (
    "score_logit",
    "consistency",
    "hit_fraction",
    "mean_iou",
    "spread",
    "agreement",
    "entropy",
    "runner_up",
    "log_side",
    "log_aspect",
)
_EDGE = 1e-4


@dataclass(frozen=True)
class Calibrator:
    """A logistic model on standardised features, with an offset for each class that has enough boxes.

    Attributes:
        features: Names of the features it looks at.
        center: Subtracted from each feature.
        scale: Each feature is divided by it.
        weights: Of each standardised feature.
        intercept: Of the model.
        offsets: Added for boxes of a class; classes without an entry are pooled.
        boxes: How many boxes it was fitted on.
        model_id: The detector whose proposals it was fitted on; another's are refused.
    """

    features: tuple[str, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    offsets: dict[str, float]
    boxes: int
    model_id: str

    def predict(self, evidence: pa.Table) -> NDArray[np.float64]:
        """Probability of being right.

        Args:
            evidence: Proposals with their evidence.

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
        standardised = (feature_matrix(evidence, self.features) - self.center) / self.scale
        labels = evidence["label"].to_pylist()
        offsets = np.array([self.offsets.get(label, 0.0) for label in labels], dtype=np.float64)
        logits = standardised @ np.array(self.weights) + self.intercept + offsets
        return np.asarray(expit(logits))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them back."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> Calibrator:
        """Read what `to_json` wrote."""
        lists = {name: tuple(values[name]) for name in ("features", "center", "scale", "weights")}
        return Calibrator(**{**values, **lists})


def feature_matrix(evidence: pa.Table, features: Sequence[str] = FEATURES) -> NDArray[np.float64]:
    """Lay features out in columns.

    Args:
        evidence: Proposals with their evidence; null evidence (not measured) counts as 0.
        features: Which, in order.

    Returns:
        float[N, F].
    """

    def column(name: str) -> NDArray[np.float64]:
        return np.asarray(np.nan_to_num(evidence[name].to_numpy(zero_copy_only=False).astype(np.float64)))

    width, height = column("x2") - column("x1"), column("y2") - column("y1")
    score = column("score").clip(_EDGE, 1 - _EDGE)
    derived = {
        "score_logit": logit(score),
        "log_side": 0.5 * np.log((width * height).clip(1)),
        "log_aspect": np.log(width.clip(1) / height.clip(1)),
    }
    matrix: NDArray[np.float64] = np.stack(
        [derived[name] if name in derived else column(name) for name in features], axis=1
    )
    return matrix


def fit_calibrator(
    evidence: pa.Table,
    right: NDArray[np.bool_],
    *,
    min_class_boxes: int,
    features: Sequence[str] = FEATURES,
    model_id: str,
) -> Calibrator:
    """Fit p(correct) on proposals whose truth is known.

    With fewer than two right or two wrong boxes there is nothing to learn from: every box then gets the share of
    right ones, `(right + 1) / (boxes + 2)`.

    Args:
        evidence: Proposals in labelled pictures that the detector was not trained on.
        right: bool[N].
        min_class_boxes: A class with fewer boxes is pooled with others.
        features: What to look at.
        model_id: The detector whose proposals these are.

    Returns:
        The fitted model.
    """
    names = tuple(features)
    if min(right.sum(), (~right).sum()) < 2:
        share = (right.sum() + 1) / (len(right) + 2)
        flat = (0.0,) * len(names)
        ones = (1.0,) * len(names)
        return Calibrator(names, flat, ones, flat, float(logit(share)), {}, len(right), model_id)
    matrix = feature_matrix(evidence, names)
    center, spread = matrix.mean(0), matrix.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    labels = evidence["label"].to_numpy(zero_copy_only=False)
    known, counts = np.unique(labels, return_counts=True)
    own = [str(label) for label, count in zip(known, counts, strict=True) if count >= min_class_boxes]
    indicators = np.stack([labels == label for label in own], axis=1) if own else np.zeros((len(labels), 0))
    model = LogisticRegression(C=1.0, max_iter=1000).fit(np.hstack([(matrix - center) / spread, indicators]), right)
    weights = model.coef_[0]
    return Calibrator(
        names,
        tuple(center.tolist()),
        tuple(spread.tolist()),
        tuple(weights[: len(names)].tolist()),
        float(model.intercept_[0]),
        dict(zip(own, weights[len(names) :].tolist(), strict=True)),
        len(right),
        model_id,
    )


def out_of_fold(
    evidence: pa.Table,
    right: NDArray[np.bool_],
    *,
    folds: int,
    min_class_boxes: int,
    features: Sequence[str] = FEATURES,
    model_id: str,
) -> NDArray[np.float64]:
    """p(correct) of each box from a model that has not seen its picture.

    Args:
        evidence: As for `fit_calibrator`.
        right: bool[N].
        folds: Pictures are dealt to so many; fewer where there are fewer pictures.
        min_class_boxes: As for `fit_calibrator`.
        features: As for `fit_calibrator`.
        model_id: As for `fit_calibrator`.

    Returns:
        float[N]; with a single picture its own fit serves, which flatters it.
    """
    images = evidence["image_id"].to_numpy(zero_copy_only=False)
    folds = min(folds, len(np.unique(images)))
    common: dict[str, Any] = {"min_class_boxes": min_class_boxes, "features": features, "model_id": model_id}
    if folds < 2:
        return fit_calibrator(evidence, right, **common).predict(evidence)
    predicted = np.zeros(len(right))
    for fitted, held_back in GroupKFold(folds).split(right, right, images):
        model = fit_calibrator(evidence.take(fitted), right[fitted], **common)
        predicted[held_back] = model.predict(evidence.take(held_back))
    return predicted
