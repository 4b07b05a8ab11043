"""What detection never sees: recall by class and size, and how many objects an image hides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import PoissonRegressor

from pipeline.artefacts import Recall
from pipeline.records import Sample

SIZES = {"small": 32**2, "medium": 96**2, "large": np.inf}
"""COCO's sizes: the area, in square pixels of the original, under which an object counts as such."""
DOUBTFUL = 0.5
"""Proposals that are more likely wrong than right count as weak."""
_CONFIDENCE = 0.95
_RIDGE = 0.1
_FARTHEST = 3.0
"""Standard deviations beyond which features are cut: farther out than held-back images went the model would guess."""
_PRIOR = 0.02
"""Misses an image that are added to each class, so that one that was never missed is not held to be unmissable."""

Floats = NDArray[np.float64]


def recall_by_class_and_size(
    samples: Sequence[Sample], proposals: pa.Table, matched: NDArray[np.int64]
) -> list[Recall]:
    """Count the objects that proposals found.

    Args:
        samples: Held-back images.
        proposals: Of these images; column `image_id`.
        matched: int64[N], which box of its image each proposal is, -1 for none.

    Returns:
        One row per class and size that occur, by label, small to large.
    """
    rows = matched >= 0
    images = proposals["image_id"].to_numpy(zero_copy_only=False)[rows]
    found = set(zip(images.tolist(), matched[rows].tolist(), strict=True))
    counts: dict[tuple[str, str], list[int]] = {}
    for sample in samples:
        for index, box in enumerate(sample.boxes):
            x1, y1, x2, y2 = box.xyxy
            size = next(name for name, limit in SIZES.items() if (x2 - x1) * (y2 - y1) < limit)
            count = counts.setdefault((box.label, size), [0, 0])
            count[0] += 1
            count[1] += (sample.image_id, index) in found
    order = sorted(counts, key=lambda key: (key[0], list(SIZES).index(key[1])))
    return [_recall(*key, *counts[key]) for key in order]


def _recall(label: str, size: str, objects: int, found: int) -> Recall:
    ends = binomtest(found, objects).proportion_ci(_CONFIDENCE, method="exact")
    return Recall(label, size, objects, found, float(ends.low), float(ends.high))


@dataclass(frozen=True)
class MissedObjectsModel:
    """Expected number of objects of each class that no proposal found.

    A Poisson regression over an image's classes: how often a class is missed in general, times a factor by how much of
    it was found, how much of it was seen weakly, how many proposals there are and how much of other classes was found.
    What is found tells of crowds, what is weak of objects on the brink of being seen.

    Attributes:
        labels: Class names.
        base: A class each, misses an image on held-back images.
        mean: Of the features on held-back images.
        scale: Their standard deviations.
        weights: Of the features so scaled.
        intercept: Of the logarithm.
    """

    labels: tuple[str, ...]
    base: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def predict(self, proposals: pa.Table, p_correct: Floats, image_ids: Sequence[str]) -> Floats:
        """Expect misses.

        Args:
            proposals: Columns `image_id` and `label`.
            p_correct: float[N].
            image_ids: K images, those without proposals too.

        Returns:
            float[K, C] by class, in the order of `labels`.
        """
        features = (_features(proposals, p_correct, image_ids, self.labels) - self.mean) / np.array(self.scale)
        factor = np.exp(np.clip(features, -_FARTHEST, _FARTHEST) @ np.array(self.weights) + self.intercept)
        return np.asarray(factor * self.base)


def fit_missed_objects(
    samples: Sequence[Sample],
    proposals: pa.Table,
    p_correct: Floats,
    right: NDArray[np.bool_],
    labels: Sequence[str],
) -> MissedObjectsModel:
    """Learn from held-back images what is missed.

    Args:
        samples: Labelled images that the detector was not trained on.
        proposals: Of these images.
        p_correct: float[N], of models that have not seen their images.
        right: bool[N].
        labels: Class names.

    Returns:
        The model; without held-back images it expects next to nothing.
    """
    image_ids = [sample.image_id for sample in samples]
    missed = _true_counts(samples, labels) - _sums(proposals, right.astype(np.float64), image_ids, labels)
    base = (missed.sum(0) + _PRIOR) / max(1, len(samples))
    features = _features(proposals, p_correct, image_ids, labels).reshape(-1, 4)
    given = (tuple(labels), tuple(base.tolist()))
    if not missed.any():
        return MissedObjectsModel(*given, (0.0,) * 4, (1.0,) * 4, (0.0,) * 4, 0.0)
    mean, scale = features.mean(0), features.std(0) + 1e-6
    exposure = np.tile(base, len(samples))
    fitted = PoissonRegressor(alpha=_RIDGE, max_iter=1000).fit(
        np.clip((features - mean) / scale, -_FARTHEST, _FARTHEST), missed.ravel() / exposure, sample_weight=exposure
    )
    scaled = (tuple(mean.tolist()), tuple(scale.tolist()), tuple(fitted.coef_.tolist()))
    return MissedObjectsModel(*given, *scaled, float(fitted.intercept_))


def _features(proposals: pa.Table, p_correct: Floats, image_ids: Sequence[str], labels: Sequence[str]) -> Floats:
    """float[K, C, 4]: what is known of each class in each image."""
    found = _sums(proposals, p_correct, image_ids, labels)
    weak = _sums(proposals, np.where(p_correct < DOUBTFUL, p_correct, 0.0), image_ids, labels)
    count = _sums(proposals, np.ones(len(p_correct)), image_ids, labels)
    return np.asarray(np.log1p(np.stack([found, weak, count, found.sum(1, keepdims=True) - found], axis=2)))


def _sums(proposals: pa.Table, values: Floats, image_ids: Sequence[str], labels: Sequence[str]) -> Floats:
    """float[K, C]: values of proposals summed by image and class; those of other images are left out."""
    image, label = (
        pc.index_in(proposals[name], value_set=pa.array(names, pa.string())).fill_null(-1).to_numpy()
        for name, names in (("image_id", image_ids), ("label", labels))
    )
    kept = (image >= 0) & (label >= 0)
    cells = image[kept].astype(np.int64) * len(labels) + label[kept]
    sums = np.bincount(cells, weights=values[kept], minlength=len(image_ids) * len(labels))
    return sums.astype(np.float64).reshape(len(image_ids), len(labels))


def _true_counts(samples: Sequence[Sample], labels: Sequence[str]) -> Floats:
    number = {label: index for index, label in enumerate(labels)}
    known = ((row, box.label) for row, sample in enumerate(samples) for box in sample.boxes if box.label in number)
    cells = [row * len(labels) + number[label] for row, label in known]
    counts = np.bincount(np.array(cells, dtype=np.int64), minlength=len(samples) * len(labels))
    return counts.astype(np.float64).reshape(len(samples), len(labels))
