"""Which boxes are right: one match a true box, the surest proposal first."""

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
from pipeline.records import Sample


def match_boxes(
    boxes: Tensor, labels: Tensor, scores: Tensor, true_boxes: Tensor, true_labels: Tensor, iou: float
) -> Tensor:
    """Match boxes of one image to its true boxes.

    Every box points at the true box of its class that it overlaps most; of those that point at the same one, the
    surest is right and the others are duplicates.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        labels (Tensor[N]): int64.
        scores (Tensor[N]): higher = surer; among equals the first wins.
        true_boxes (Tensor[M, 4]): likewise.
        true_labels (Tensor[M]): int64.
        iou: Least overlap; boxes that do not touch never match.

    Returns:
        Tensor[N] int64: index of the true box, -1 for wrong boxes and duplicates.
    """
    nothing = torch.full((len(boxes),), -1, dtype=torch.int64)
    if len(boxes) == 0 or len(true_boxes) == 0:
        return nothing
    overlap = box_iou(boxes, true_boxes) * (labels[:, None] == true_labels)
    best, index = overlap.max(1)
    index = torch.where((best >= iou) & (best > 0), index, -1)
    order = scores.argsort(descending=True, stable=True)
    claimed = index[order]
    first = torch.full((len(true_boxes) + 1,), len(boxes), dtype=torch.int64)
    first.scatter_reduce_(0, claimed + 1, torch.arange(len(boxes)), reduce="amin")
    is_first = first[claimed + 1] == torch.arange(len(boxes))
    return nothing.scatter(0, order, torch.where(is_first, claimed, -1))


def mark_right(proposals: pa.Table, samples: Sequence[Sample], iou: float) -> NDArray[np.bool_]:
    """Tell which proposals are right, where the truth is known.

    Args:
        proposals: Columns `image_id`, `x1` to `y2`, `label` and `score`.
        samples: Labelled images.
        iou: Least overlap with a true box of the same class.

    Returns:
        bool[N], in order; False in images that are not among the samples.
    """
    return match_proposals(proposals, samples, iou) >= 0


def match_proposals(proposals: pa.Table, samples: Sequence[Sample], iou: float) -> NDArray[np.int64]:
    """Match proposals to the true boxes of their images.

    Args:
        proposals: Columns `image_id`, `x1` to `y2`, `label` and `score`.
        samples: Labelled images.
        iou: Least overlap with a true box of the same class.

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
            found = match_boxes(boxes[rows], labels[rows], scores[rows], true_boxes, true_labels, iou)
            matched[rows] = found.numpy()
    return matched


def objects_shown(proposals: pa.Table, samples: Sequence[Sample], iou: float) -> NDArray[np.str_]:
    """Tell which class of object lies at the place of each proposal, whatever its own class.

    Args:
        proposals: Columns `image_id` and `x1` to `y2`.
        samples: Labelled images.
        iou: Least overlap with an object.

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
            shown[rows] = np.where(overlap.numpy() >= iou, names, "")
    return shown.astype(np.str_)


def matched_corners(proposals: pa.Table, samples: Sequence[Sample], matched: NDArray[np.int64]) -> NDArray[np.float64]:
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
