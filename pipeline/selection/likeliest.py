"""Of boxes that overlap, the likeliest: greedy non-maximum suppression in many images at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PAIRS_TOGETHER = 4_000_000
"""Overlaps that are held at once."""


def is_likeliest(
    image: NDArray[np.intp], p_correct: NDArray[np.float32], boxes: Tensor, iou: float
) -> NDArray[np.bool_]:
    """Tell which boxes are the likeliest: no likelier box of their image overlaps them that is itself one of these.

    As `torchvision.ops.nms` image by image, for a million images in seconds: those with as many boxes go together, and
    each step decides one box of each.

    Args:
        image: int[N], which image holds each box.
        p_correct: float32[N]; of equals the first is taken for the likelier.
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        iou: Boxes that overlap so much are of one object.

    Returns:
        bool[N].
    """
    likeliest = np.zeros(len(image), dtype=bool)
    order = np.lexsort((-p_correct, image))
    starts = np.flatnonzero(np.diff(image[order], prepend=-1))
    counts = np.diff(np.append(starts, len(order)))
    by_count = np.argsort(counts, kind="stable")
    bounds = [0, *(np.flatnonzero(np.diff(counts[by_count])) + 1), len(by_count)]
    for low, high in pairwise(bounds if len(image) else []):
        count = int(counts[by_count[low]])
        together = max(1, _PAIRS_TOGETHER // count**2)
        for first in range(low, high, together):
            begins = starts[by_count[first : min(high, first + together)]]
            rows = order[begins[:, None] + np.arange(count)]
            likeliest[rows] = _kept(boxes[torch.from_numpy(rows)], iou).numpy()
    return likeliest


def _kept(boxes: Tensor, iou: float) -> Tensor:
    """Of Tensor[K, M, 4], the likeliest of each image first: bool[K, M]."""
    overlap = _overlaps(boxes) >= iou
    suppressed = torch.zeros(boxes.shape[:2], dtype=torch.bool)
    for rank in range(boxes.shape[1] - 1):
        later = overlap[:, rank, rank + 1 :] & ~suppressed[:, rank, None]
        suppressed[:, rank + 1 :] |= later
    return ~suppressed


def _overlaps(boxes: Tensor) -> Tensor:
    """Intersection over union of the boxes of each image, Tensor[K, M, M]."""
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    return shared / (area[:, :, None] + area[:, None, :] - shared)
