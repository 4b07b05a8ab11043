"""Flicker: frames in which the detector doubts or loses an object that the frames around it hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.selection.localisation_bias import xyxy_of
from pipeline.selection.tracks import Flags, Floats, Ints, Tracks

DOUBTED, LOST = "doubted", "lost"
LOW, HIGH = 0.5, 0.5
"""What doubts, and what is likely: a box flickers whose track overrules its frame."""

FLICKER_SCHEMA = pa.schema(
    [
        ("sequence", pa.string()),
        ("frame", pa.int64()),
        ("track", pa.int64()),
        ("kind", pa.string()),
        ("row", pa.int64()),
        *((name, pa.float32()) for name in ("x1", "y1", "x2", "y2")),
        ("label", pa.string()),
        *((name, pa.float32()) for name in ("p_correct", "smoothed")),
    ]
)
"""One row per frame of a track that flickers there.

`kind`: `doubted` for a box that was detected, `lost` for a frame without one, whose corners lie between those of the
boxes before and after by time. `row`: of the box among those that were given, null for `lost`. `p_correct`: likewise.
`smoothed`: of the box; for `lost` the lower one of the boxes before and after."""


def find_flicker(boxes: pa.Table, tracks: Tracks, p_correct: Floats, smoothed: Floats) -> pa.Table:
    """Find boxes that are doubted, and frames in which an object was lost.

    A frame holds a track where its own p(correct) is at least `LOW`. A box is doubted where its own is less and the
    boxes before and after it hold the track; it flickers if its smoothed p(correct) is at least `HIGH`. Lost are the
    frames between two boxes that hold their track and whose smoothed p(correct) is at least `HIGH`.

    Args:
        boxes: N rows, columns `sequence`, `x1` to `y2` in pixels of the frame, and `label`.
        tracks: Of these boxes.
        p_correct: float[N], of each box by its own frame.
        smoothed: float[N], likewise by its track.

    Returns:
        Columns of `FLICKER_SCHEMA`: boxes in order, then lost frames; no rows where nothing flickers.
    """
    before, after = tracks.previous, tracks.following
    holds, likely = p_correct >= LOW, smoothed >= HIGH
    doubted = np.flatnonzero(~holds & likely & _at(holds, before) & _at(holds, after))
    sure = holds & likely
    rows, frames = _lost(tracks, np.flatnonzero(sure & _at(sure, after)), after)
    shares = (frames - tracks.frame[rows]) / (tracks.frame[after[rows]] - tracks.frame[rows])
    corners = xyxy_of(boxes)
    between = corners[rows] + shares[:, None] * (corners[after[rows]] - corners[rows])
    both = np.concatenate([doubted, rows])
    placed = np.concatenate([corners[doubted], between])
    columns = {
        "sequence": boxes["sequence"].take(both),
        "frame": np.concatenate([tracks.frame[doubted], frames]),
        "track": tracks.track[both],
        "kind": [DOUBTED] * len(doubted) + [LOST] * len(rows),
        "row": pa.array([*doubted.tolist(), *[None] * len(rows)], pa.int64()),
        **{name: placed[:, index].astype(np.float32) for index, name in enumerate(("x1", "y1", "x2", "y2"))},
        "label": boxes["label"].take(both),
        "p_correct": pa.array(np.r_[p_correct[doubted], np.full(len(rows), np.nan)], from_pandas=True),
        "smoothed": np.r_[smoothed[doubted], np.minimum(smoothed[rows], smoothed[after[rows]])],
    }
    return pa.table([columns[name] for name in FLICKER_SCHEMA.names], names=FLICKER_SCHEMA.names).cast(FLICKER_SCHEMA)


def _at(flags: Flags, rows: Ints) -> Flags:
    """The flag of another row, False where there is none."""
    return np.asarray((rows >= 0) & flags[rows])


def _lost(tracks: Tracks, rows: Ints, after: Ints) -> tuple[Ints, Ints]:
    """Frames between boxes and those that follow them: the row of the box before each, and its number."""
    counts = tracks.frame[after[rows]] - tracks.frame[rows] - 1
    repeated = np.repeat(rows, counts)
    steps = np.arange(len(repeated)) - np.repeat(np.cumsum(counts) - counts, counts)
    return repeated, tracks.frame[repeated] + 1 + steps
