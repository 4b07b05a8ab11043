"""Which of the machine's boxes are right, held against the truth."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipeline.boxes import as_boxes, intersection_over_first
from pipeline.detector.evaluation.matching import match_boxes, same_class_iou
from pipeline.records import Box, Sample

_IGNORED_SHARE = 0.5


def judge(boxes: Sequence[Box], truth: Sample, labels: Sequence[str], iou: float) -> list[tuple[Box, bool]]:
    """Tell which boxes are right; each true box makes one right, the surest that fits.

    Args:
        boxes: The machine's, of one image.
        truth: The image with its true boxes.
        labels: Class names.
        iou: A right box overlaps a true one of its class at least so much.

    Returns:
        Each box and whether it is right; without wrong boxes that lie by half in an ignore region.
    """
    number = {label: index for index, label in enumerate(labels, 1)}
    corners = as_boxes([box.xyxy for box in boxes])
    overlap = same_class_iou(
        corners,
        torch.tensor([number[box.label] for box in boxes], dtype=torch.int64),
        as_boxes([box.xyxy for box in truth.boxes]),
        torch.tensor([number[box.label] for box in truth.boxes], dtype=torch.int64),
    )
    matched = match_boxes(overlap, torch.tensor([_sureness(box) for box in boxes]), iou)
    regions = as_boxes([region.xyxy for region in truth.ignore])
    ignored = (intersection_over_first(corners, regions) >= _IGNORED_SHARE).any(1)
    rows = zip(boxes, (matched >= 0).tolist(), ignored.tolist(), strict=True)
    return [(box, is_right) for box, is_right, is_ignored in rows if is_right or not is_ignored]


def _sureness(box: Box) -> float:
    return box.p_correct if box.p_correct is not None else box.score or 0.0
