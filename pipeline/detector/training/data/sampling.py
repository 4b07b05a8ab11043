"""In which order images are shown: epochs as pure functions of the seed, some images more often where set so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Sample
from pipeline.seeds import numpy_generator


class Epochs:
    """An endless order of images: one epoch after the other, each in a random order of its own.

    Args:
        members: Numbers of the images; may be empty.
        factors: How often each is shown an epoch, above 0; a fraction is shown in so many of the epochs.
        seed: The settings' seed.
        stream: What the order is for.
    """

    def __init__(self, members: NDArray[np.int64], factors: NDArray[np.float64], seed: int, stream: str) -> None:
        self._members = members
        self._seed, self._stream = seed, stream
        # Stretched to a whole number, so that every epoch has as many.
        self._length = int(np.ceil(factors.sum() - 1e-9))
        self._ends = np.cumsum(factors) * (self._length / factors.sum()) if len(members) else factors

    def between(self, first: int, last: int) -> list[int]:
        """The images at positions `first` to `last`, the latter not included."""
        positions = np.arange(first, last)
        orders = {epoch: self._order(epoch) for epoch in set((positions // max(1, self._length)).tolist())}
        return [int(orders[p // self._length][p % self._length]) for p in positions.tolist()]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Systematic sampling: each image as often as its factor says, give or take one."""
        random = numpy_generator(self._seed, "order", self._stream, epoch)
        permutation = random.permutation(self._length)
        points = np.arange(self._length) + random.random()
        shown = np.searchsorted(self._ends, points, side="right").clip(max=len(self._members) - 1)
        order: NDArray[np.int64] = self._members[shown][permutation]
        return order


def repeat_factors(samples: Sequence[Sample], threshold: float) -> NDArray[np.float64]:
    """How often to show each image (LVIS, arXiv 1908.03195, appendix B.2).

    A class in a share f of the images has the factor `max(1, sqrt(threshold / f))`; an image has the largest of its
    classes', and 1 without objects.

    Args:
        samples: The images.
        threshold: t, 0 to 1.

    Returns:
        float64[N], at least 1.
    """
    classes = [{box.label for box in sample.boxes} for sample in samples]
    images = Counter(label for own in classes for label in own)
    factor = {label: max(1.0, (threshold * len(samples) / count) ** 0.5) for label, count in images.items()}
    return np.array([max((factor[label] for label in own), default=1.0) for own in classes], dtype=np.float64)


def boosted(factors: NDArray[np.float64], errors: NDArray[np.float64], boosting: float) -> NDArray[np.float64]:
    """Show images more often that a model gets wrong, and the others more seldom; see `pipeline.selection.boosting`.

    Args:
        factors: float[N], how often each image is shown an epoch; may be empty.
        errors: float[N], 0 to 1, 1 = all wrong.
        boosting: An image that is all wrong is drawn `1 + boosting` times as often as one that is all right.

    Returns:
        float[N], above 0, with the sum of `factors`; `factors` to the bit where `boosting` or all errors are 0.
    """
    if not len(factors):
        return factors
    weighed: NDArray[np.float64] = factors * (1.0 + boosting * errors)
    weighed *= factors.sum() / weighed.sum()
    return weighed
