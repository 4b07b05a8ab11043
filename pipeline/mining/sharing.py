"""Which proposals share a paste: several boxes at one place are one object, which is pasted and detected once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

SAME_CLASS_IOU, ANY_CLASS_IOU = 0.4, 0.7
"""Boxes of an image that overlap so much share their pastes."""


@dataclass(frozen=True)
class SharedPastes:
    """N proposals, and which of them are pasted for the others.

    Attributes:
        shown: Tensor[R] int64, the proposals that are cut out and pasted, ascending.
        stands: Tensor[N] int64, which of `shown` stands for each proposal, itself included.
    """

    shown: Tensor
    stands: Tensor

    def classes(self, labels: Tensor, count: int) -> Tensor:
        """Tensor[R, count] bool: which labels the proposals have that each of `shown` stands for."""
        seen = torch.zeros(len(self.shown), count, dtype=torch.bool)
        seen[self.stands, labels] = True
        return seen

    def readers(self, pasted: Tensor) -> tuple[Tensor, Tensor]:
        """Who looks for itself in some pastes.

        Args:
            pasted (Tensor[M]): int64, which of `shown` each paste shows.

        Returns:
            Tensor[K] int64 twice: a paste and a proposal; those of one paste side by side.
        """
        count = torch.bincount(self.stands, minlength=len(self.shown))
        ordered, start = self.stands.argsort(stable=True), count.cumsum(0) - count
        paste = torch.arange(len(pasted)).repeat_interleave(count[pasted])
        first = count[pasted].cumsum(0) - count[pasted]
        return paste, ordered[start[pasted[paste]] + torch.arange(len(paste)) - first[paste]]


def share_pastes(boxes: Tensor, labels: Tensor, images: NDArray[np.str_]) -> SharedPastes:
    """Put proposals together that lie at one place.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, input pixels; those of one image side by side, best first.
        labels (Tensor[N]): int64.
        images: str[N], the image of each.

    Returns:
        Who is pasted for whom: the best proposal at each place for those that overlap it.
    """
    stands, shown, known = torch.zeros(len(boxes), dtype=torch.int64), [torch.zeros(0, dtype=torch.int64)], 0
    for start, end in runs(images):
        best, own = _of_one_image(boxes[start:end], labels[start:end])
        stands[start:end] = own + known
        shown.append(best + start)
        known += len(best)
    return SharedPastes(torch.cat(shown), stands)


def runs(images: NDArray[np.str_]) -> list[tuple[int, int]]:
    """From where to where each image's proposals go, side by side."""
    if len(images) == 0:
        return []
    starts = np.flatnonzero(np.r_[True, images[1:] != images[:-1]]).tolist()
    return list(zip(starts, [*starts[1:], len(images)], strict=True))


def _of_one_image(boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    overlap, same = box_iou(boxes, boxes), labels[:, None] == labels
    shares = overlap >= torch.where(same, SAME_CLASS_IOU, ANY_CLASS_IOU)
    shown: list[int] = []
    stands: list[int] = []
    for row in range(len(boxes)):
        offered = (shares[row] * overlap[row])[shown]
        if len(shown) == 0 or offered.max() == 0:
            stands.append(len(shown))
            shown.append(row)
        else:
            stands.append(int(offered.argmax()))
    return torch.tensor(shown), torch.tensor(stands)
