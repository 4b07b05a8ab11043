"""Masks of labelled images: which pixels of a box are the object.

COCO files have them under `segmentation`, as polygons or runs; see `beside_boxes`. They are kept as small rasters, each
in a frame of three points, so that whatever moves boxes moves, mirrors and turns masks by their frames alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pipeline.dataset.beside_boxes import annotated_images, find_stated
from pipeline.dataset.formats.coco_file import CocoAnnotation
from pipeline.dataset.formats.coco_masks import MASK_SIDE, unpack
from pipeline.records import Sample, Split
from pipeline.settings import SourceSettings


@dataclass(frozen=True)
class Masks:
    """Masks of N boxes.

    Attributes:
        frames: Tensor[N, 3, 2]: where the upper left, upper right and lower left corner of each raster lie, `(x, y)` in
            pixels of the image; NaN where a box has no mask.
        rasters: Tensor[N, MASK_SIDE, MASK_SIDE] uint8, 1 on the object.
    """

    frames: Tensor
    rasters: Tensor

    @classmethod
    def unknown(cls, count: int) -> Masks:
        """Boxes without masks."""
        return cls(torch.full((count, 3, 2), torch.nan), torch.zeros(count, MASK_SIDE, MASK_SIDE, dtype=torch.uint8))

    @classmethod
    def join(cls, parts: Sequence[Masks]) -> Masks:
        """Masks of several images or objects, in order."""
        return cls(torch.cat([part.frames for part in parts]), torch.cat([part.rasters for part in parts]))

    @property
    def known(self) -> Tensor:
        """Tensor[N] bool: which boxes have one."""
        return ~self.frames[:, 0, 0].isnan()

    def __getitem__(self, rows: Tensor | slice) -> Masks:
        """Those of some boxes."""
        return Masks(self.frames[rows], self.rasters[rows])

    def placed(self, frames: Tensor) -> Masks:
        """The same masks elsewhere."""
        return replace(self, frames=frames)

    def scaled(self, factor_x: float, factor_y: float) -> Masks:
        """Of the image at another size."""
        return self.placed(self.frames * torch.tensor([factor_x, factor_y]))

    def without(self, rows: Tensor) -> Masks:
        """With some, Tensor[N] bool, no longer known."""
        return self.placed(torch.where(rows[:, None, None], torch.nan, self.frames))


@dataclass(frozen=True)
class ObjectMasks:
    """The masks of a project's images, a few hundred bytes each.

    Attributes:
        by_uri: Of each image Tensor[N, 4], boxes in `(x1, y1, x2, y2)`, pixels as the file states them, and their
            packed rasters, see `coco_masks.rasterize`.
    """

    by_uri: Mapping[str, tuple[Tensor, list[bytes]]] = field(default_factory=dict)

    def of(self, sample: Sample) -> Masks:
        """Look up the masks of an image's boxes, in its pixels."""
        masks = Masks.unknown(len(sample.boxes))
        stated, packed = self.by_uri.get(sample.uri, (torch.zeros(0, 4), []))
        if not len(sample.boxes) or not packed:
            return masks
        which, is_stated = find_stated(sample, stated)
        masks.frames[is_stated] = stated[:, [0, 1, 2, 1, 0, 3]].reshape(-1, 3, 2)[which[is_stated]]
        masks.rasters[is_stated] = torch.from_numpy(unpack(packed))[which[is_stated]]
        return masks


def read_masks(sources: Iterable[SourceSettings], split: Split = Split.TRAIN) -> ObjectMasks:
    """Read the masks of images to train on, or of another split.

    Args:
        sources: Those of the project; only COCO files of the split are read.
        split: Which.

    Returns:
        What they hold; images without a mask are left out.

    Raises:
        DataError: A file is missing or no COCO, or a mask is none; the message names the file and the id.
    """
    found = {uri: _stated(annotations) for uri, annotations in annotated_images(sources, split, "mask")}
    return ObjectMasks({uri: stated for uri, stated in found.items() if stated[1]})


def _stated(annotations: Iterable[CocoAnnotation]) -> tuple[Tensor, list[bytes]]:
    kept = [each for each in annotations if each.mask]
    boxes = torch.tensor([each.bbox for each in kept], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes, [each.mask for each in kept]
