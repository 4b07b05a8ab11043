"""What detection never sees: recall by class and size, and how many objects an image hides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import PoissonRegressor

from pipeline.artefacts import Recall
from pipeline.records import Sample, numbered

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
_TOGETHER = 65_536
"""Images whose classes are laid out at once."""

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
        image, label = numbered(proposals["image_id"], image_ids), numbered(proposals["label"], self.labels)
        expected: list[Floats] = [np.zeros((0, len(self.labels)))]
        for start in range(0, len(image_ids), _TOGETHER):
            count = min(_TOGETHER, len(image_ids) - start)
            own = (image >= start) & (image < start + count)
            cells = _Cells(image[own] - start, label[own], (count, len(self.labels)))
            expected.append(self._predict(cells.features(p_correct[own])))
        return np.concatenate(expected)

    def _predict(self, features: Floats) -> Floats:
        scaled = (features - self.mean) / np.array(self.scale)
        factor = np.exp(np.clip(scaled, -_FARTHEST, _FARTHEST) @ np.array(self.weights) + self.intercept)
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
    image, label = numbered(proposals["image_id"], image_ids), numbered(proposals["label"], labels)
    cells = _Cells(image, label, (len(samples), len(labels)))
    missed = _true_counts(samples, labels) - cells.sums(right.astype(np.float64))
    base = (missed.sum(0) + _PRIOR) / max(1, len(samples))
    features = cells.features(p_correct).reshape(-1, 4)
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


@dataclass(frozen=True)
class _Cells:
    """N proposals in a table of K images and C classes.

    Attributes:
        image: int[N], -1 for an image that is not among them.
        label: int[N], -1 for another class.
        shape: K and C.
    """

    image: NDArray[np.intp]
    label: NDArray[np.intp]
    shape: tuple[int, int]

    def features(self, p_correct: Floats) -> Floats:
        """float[K, C, 4]: what is known of each class in each image."""
        found = self.sums(p_correct)
        weak = self.sums(np.where(p_correct < DOUBTFUL, p_correct, 0.0))
        count = self.sums(np.ones(len(p_correct)))
        return np.asarray(np.log1p(np.stack([found, weak, count, found.sum(1, keepdims=True) - found], axis=2)))

    def sums(self, values: Floats) -> Floats:
        """float[K, C]: values of proposals summed by image and class; those of others are left out."""
        kept = (self.image >= 0) & (self.label >= 0)
        cells = self.image[kept] * self.shape[1] + self.label[kept]
        sums = np.bincount(cells, weights=values[kept], minlength=self.shape[0] * self.shape[1])
        return sums.astype(np.float64).reshape(self.shape)


def _true_counts(samples: Sequence[Sample], labels: Sequence[str]) -> Floats:
    number = {label: index for index, label in enumerate(labels)}
    known = ((row, box.label) for row, sample in enumerate(samples) for box in sample.boxes if box.label in number)
    cells = [row * len(labels) + number[label] for row, label in known]
    counts = np.bincount(np.array(cells, dtype=np.int64), minlength=len(samples) * len(labels))
    return counts.astype(np.float64).reshape(len(samples), len(labels))
