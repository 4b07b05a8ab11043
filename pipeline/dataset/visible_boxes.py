"""Visible boxes of labelled images: what is seen of an object that something else covers in part.

COCO files have them under `visible_bbox`, `vis_bbox` or `vbox`; see `beside_boxes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.boxes import as_boxes, clip
from pipeline.dataset.beside_boxes import annotated_images, find_stated
from pipeline.dataset.formats.coco_file import CocoAnnotation
from pipeline.records import Sample, Split
from pipeline.settings import SourceSettings


@dataclass(frozen=True)
class VisibleBoxes:
    """Pairs of a box and what is seen of it.

    Attributes:
        by_uri: Tensor[N, 8] of each image: the box and its visible box in `(x1, y1, x2, y2)`, pixels as the file states
            them.
    """

    by_uri: Mapping[str, Tensor] = field(default_factory=dict)

    def of(self, sample: Sample) -> Tensor:
        """Look up the boxes of an image.

        Args:
            sample: The image and its N boxes.

        Returns:
            Tensor[N, 4] in `(x1, y1, x2, y2)`, pixels, inside each box; NaN where it has no visible box.
        """
        boxes = as_boxes([box.xyxy for box in sample.boxes])
        unknown = torch.full_like(boxes, torch.nan)
        pairs = self.by_uri.get(sample.uri)
        if pairs is None or not len(boxes):
            return unknown
        which, is_stated = find_stated(sample, pairs[:, :4])
        seen = clip(pairs[:, 4:], sample.width, sample.height)
        seen = torch.cat([seen[which, :2].maximum(boxes[:, :2]), seen[which, 2:].minimum(boxes[:, 2:])], dim=1)
        known = is_stated & (seen[:, 2:] > seen[:, :2]).all(1)
        return torch.where(known[:, None], seen, unknown)


def read_visible_boxes(sources: Iterable[SourceSettings], split: Split = Split.TRAIN) -> VisibleBoxes:
    """Read the visible boxes of images to train on, or of another split.

    Args:
        sources: Those of the project; only COCO files of the split are read.
        split: Which.

    Returns:
        What they hold; images without a visible box are left out.

    Raises:
        DataError: A file is missing or no COCO, see `CocoFile`.
    """
    found = {uri: _pairs(annotations) for uri, annotations in annotated_images(sources, split, "visible")}
    return VisibleBoxes({uri: pairs for uri, pairs in found.items() if len(pairs)})


def _pairs(annotations: Iterable[CocoAnnotation]) -> Tensor:
    rows = torch.tensor([(*each.bbox, *each.visible) for each in annotations], dtype=torch.float32).reshape(-1, 8)
    rows = rows[rows.isfinite().all(1)]
    rows[:, 2:4] += rows[:, :2]
    rows[:, 6:] += rows[:, 4:6]
    return rows
