"""Proposals of many images held against their true boxes, by the one rule of `matching`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.detector.evaluation.matching import match_boxes, same_class_iou
from pipeline.records import Sample


def mark_right(proposals: pa.Table, samples: Sequence[Sample], iou_threshold: float) -> NDArray[np.bool_]:
    """Tell which proposals are right, where the truth is known.

    Args:
        proposals: Columns `image_id`, `x1` to `y2`, `label` and `score`.
        samples: Labelled images.
        iou_threshold: Least overlap with a true box of the same class.

    Returns:
        bool[N], in order; False in images that are not among the samples.
    """
    return match_proposals(proposals, samples, iou_threshold) >= 0


def match_proposals(proposals: pa.Table, samples: Sequence[Sample], iou_threshold: float) -> NDArray[np.int64]:
    """Match proposals to the true boxes of their images.

    Args:
        proposals: Columns `image_id`, `x1` to `y2`, `label` and `score`.
        samples: Labelled images.
        iou_threshold: Least overlap with a true box of the same class.

    Returns:
        int64[N], in order: which of its sample's boxes each is, -1 for wrong boxes and duplicates, and in images that
        are not among the samples.
    """
    matched = np.full(len(proposals), -1, dtype=np.int64)
    boxes = _corners(proposals)
    scores = torch.from_numpy(proposals["score"].to_numpy().copy())
    names = pc.unique(pa.concat_arrays([proposals["label"].combine_chunks(), _labels_of(samples)]))
    labels = torch.from_numpy(pc.index_in(proposals["label"], value_set=names).to_numpy().astype(np.int64))
    number = {name: index for index, name in enumerate(names.to_pylist())}
    rows_of = _rows_by_image(proposals)
    for sample in samples:
        rows = rows_of.get(sample.image_id)
        if rows is not None:
            true_labels = torch.tensor([number[box.label] for box in sample.boxes], dtype=torch.int64)
            true_boxes = as_boxes([box.xyxy for box in sample.boxes])
            overlap = same_class_iou(boxes[rows], labels[rows], true_boxes, true_labels)
            matched[rows] = match_boxes(overlap, scores[rows], iou_threshold).numpy()
    return matched


def objects_shown(proposals: pa.Table, samples: Sequence[Sample], iou_threshold: float) -> NDArray[np.str_]:
    """Tell which class of object lies at the place of each proposal, whatever its own class.

    Args:
        proposals: Columns `image_id` and `x1` to `y2`.
        samples: Labelled images.
        iou_threshold: Least overlap with an object.

    Returns:
        str[N], the class of the object that each overlaps most; '' where it overlaps none so much, and in images that
        are not among the samples.
    """
    shown = np.full(len(proposals), "", dtype=object)
    boxes, rows_of = _corners(proposals), _rows_by_image(proposals)
    for sample in samples:
        rows = rows_of.get(sample.image_id)
        if rows is not None and sample.boxes:
            overlap, nearest = box_iou(boxes[rows], as_boxes([box.xyxy for box in sample.boxes])).max(1)
            names = np.array([box.label for box in sample.boxes], dtype=object)[nearest.numpy()]
            shown[rows] = np.where(overlap.numpy() >= iou_threshold, names, "")
    return shown.astype(np.str_)


def matched_boxes(proposals: pa.Table, samples: Sequence[Sample], matched: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where the true box of each proposal lies.

    Args:
        proposals: Column `image_id`.
        samples: Labelled images.
        matched: int64[N] of `match_proposals`.

    Returns:
        float64[N, 4] in `(x1, y1, x2, y2)`, pixels; NaN for proposals that match none.
    """
    corners = np.array([box.xyxy for sample in samples for box in sample.boxes], dtype=np.float64).reshape(-1, 4)
    first = np.cumsum([0, *(len(sample.boxes) for sample in samples)])
    image_ids = pa.array([sample.image_id for sample in samples], pa.string())
    image = pc.index_in(proposals["image_id"], value_set=image_ids).fill_null(0).to_numpy()
    found = matched >= 0
    truth = np.full((len(matched), 4), np.nan)
    truth[found] = corners[first[image[found]] + matched[found]]
    return truth


def _corners(proposals: pa.Table) -> Tensor:
    """Tensor[N, 4]."""
    return torch.from_numpy(np.stack([proposals[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1))


def _rows_by_image(proposals: pa.Table) -> dict[str, NDArray[np.intp]]:
    image = proposals["image_id"].to_numpy(zero_copy_only=False)
    order = np.argsort(image, kind="stable")
    images, starts = np.unique(image[order], return_index=True)
    return dict(zip(images.tolist(), np.split(order, starts)[1:], strict=True))


def _labels_of(samples: Sequence[Sample]) -> pa.Array:
    return pa.array([box.label for sample in samples for box in sample.boxes], pa.string())
