"""Proposals of consecutive frames, linked into tracks by overlap and class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.selection.localisation_bias import xyxy_of

LINK_IOU = 0.3
"""A box continues a track whose last box it overlaps at least so much."""
MAX_LOST = 2
"""A track goes on after at most so many frames in which nothing continues it."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tracks:
    """Which of K tracks each of N boxes belongs to; a track has at most one box per frame.

    Attributes:
        track: int64[N], from 0.
        frame: int64[N], the frame of each box in its sequence, from 0.
        sequence: int64[K], number of each track's sequence, from 0.
        frames: int64[K], how many frames that sequence has.
    """

    track: Ints
    frame: Ints
    sequence: Ints
    frames: Ints

    def lay_out(self, values: NDArray[np.generic], fill: float) -> Floats:
        """Lay values of boxes out by track and frame.

        Args:
            values: [N] or [N, F].
            fill: In frames without a box.

        Returns:
            float64[K, T] or float64[K, T, F], with T the frames of the longest sequence.
        """
        shape = (len(self.frames), int(self.frames.max(initial=0)), *values.shape[1:])
        laid_out = np.full(shape, fill, dtype=np.float64)
        laid_out[self.track, self.frame] = values
        return laid_out

    def of_boxes(self, laid_out: NDArray[np.generic]) -> Floats:
        """Undo `lay_out`: the value of each box, [N] or [N, F]."""
        return np.asarray(laid_out[self.track, self.frame], dtype=np.float64)

    @property
    def shown(self) -> Flags:
        """bool[K, T]: which frames the sequence of each track has."""
        return np.asarray(np.arange(self.frames.max(initial=0)) < self.frames[:, None])

    @property
    def previous(self) -> Ints:
        """int64[N]: row of the box before each in its track, -1 for the first."""
        order = np.lexsort((self.frame, self.track))
        continues = np.diff(self.track[order], prepend=-1) == 0
        rows = np.full(len(order), -1, dtype=np.int64)
        rows[order[continues]] = order[np.flatnonzero(continues) - 1]
        return rows

    @property
    def following(self) -> Ints:
        """int64[N]: row of the box after each in its track, -1 for the last."""
        before, rows = self.previous, np.full(len(self.track), -1, dtype=np.int64)
        linked = np.flatnonzero(before >= 0)
        rows[before[linked]] = linked
        return rows


def link(boxes: pa.Table, iou_threshold: float = LINK_IOU, max_lost: int = MAX_LOST) -> Tracks:
    """Link boxes of consecutive frames.

    Frame by frame, boxes are assigned to the last boxes of open tracks of their class, so that the overlaps have the
    greatest sum (the Hungarian method, as in SORT, arXiv 1602.00763; no motion is predicted). What is assigned to none
    begins a track.

    Args:
        boxes: Columns `sequence` (string), `frame` (int, from 0), `frames` (int, how many the sequence has), `x1` to
            `y2` in pixels of the frame, and `label`; in any order.
        iou_threshold: Least overlap with the last box of a track.
        max_lost: Most frames without a box inside a track.

    Returns:
        The tracks; none for no boxes.

    Raises:
        ValueError: A frame lies outside its sequence.
    """
    frame, frames = (boxes[name].to_numpy().astype(np.int64) for name in ("frame", "frames"))
    outside = np.flatnonzero((frame < 0) | (frame >= frames))
    if len(outside):
        row = outside[0]
        raise ValueError(
            f"Expected frames from 0 to {frames[row] - 1} in sequence {boxes['sequence'][row]}, got {frame[row]}"
        )
    sequence, labels = (_numbers(boxes[name]) for name in ("sequence", "label"))
    corners = as_boxes(xyxy_of(boxes))
    track, count = np.full(len(frame), -1, dtype=np.int64), 0
    open_rows: Ints = np.zeros(0, dtype=np.int64)
    begun: list[Ints] = [open_rows]
    for rows in _frames(sequence, frame):
        first = rows[0]
        is_open = (sequence[open_rows] == sequence[first]) & (frame[first] - frame[open_rows] <= max_lost + 1)
        open_rows = open_rows[is_open]
        same = torch.from_numpy(labels[open_rows][:, None] == labels[rows])
        before, now = _assign(box_iou(corners[open_rows], corners[rows]) * same, iou_threshold)
        track[rows[now]] = track[open_rows[before]]
        new = rows[track[rows] < 0]
        track[new] = count + np.arange(len(new))
        count += len(new)
        begun.append(new)
        open_rows = np.concatenate([np.delete(open_rows, before), rows])
    starts = np.concatenate(begun)
    return Tracks(track, frame, sequence[starts], frames[starts])


def _assign(overlap: Tensor, least: float) -> tuple[Ints, Ints]:
    """Rows and columns whose overlaps have the greatest sum, of those that reach the least."""
    enough = torch.where(overlap >= least, overlap, overlap.new_zeros(())).numpy()
    rows, columns = linear_sum_assignment(enough, maximize=True)
    reaching = enough[rows, columns] > 0
    return rows[reaching], columns[reaching]


def _frames(sequence: Ints, frame: Ints) -> Iterator[Ints]:
    """Rows of each frame that has boxes, sequence by sequence and in time."""
    order = np.lexsort((frame, sequence))
    changes = (np.diff(sequence[order]) != 0) | (np.diff(frame[order]) != 0)
    yield from np.split(order, np.flatnonzero(changes) + 1) if len(order) else ()


def _numbers(texts: pa.ChunkedArray) -> Ints:
    return np.asarray(texts.combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)
