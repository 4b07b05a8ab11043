from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipeline.selection.tracks import link


def table(*rows, frames=6):
    """Rows of (sequence, frame, x1, label), boxes of 20 x 20 pixels."""
    sequence, frame, x1, label = zip(*rows, strict=True) if rows else ((),) * 4
    left = np.array(x1, dtype=np.float32)
    return pa.table(
        {
            "sequence": pa.array(sequence, pa.string()),
            "frame": pa.array(frame, pa.int64()),
            "frames": pa.array([frames] * len(rows), pa.int64()),
            "x1": left,
            "y1": np.full_like(left, 10),
            "x2": left + 20,
            "y2": np.full_like(left, 30),
            "label": pa.array(label, pa.string()),
        }
    )


def test_no_boxes_have_no_tracks():
    tracks = link(table())
    assert len(tracks.track) == len(tracks.frames) == 0
    assert tracks.lay_out(np.zeros(0), 0.0).shape == (0, 0)


def test_boxes_are_linked_by_overlap_and_class():
    boxes = table(
        ("a", 0, 0, "bolt"),
        ("a", 0, 40, "bolt"),
        ("a", 1, 44, "bolt"),  # overlaps the second
        ("a", 1, 4, "bolt"),  # overlaps the first
        ("a", 1, 2, "nut"),  # another class at the same place
        ("a", 2, 8, "bolt"),
        ("a", 2, 200, "bolt"),  # far from everything
        ("b", 2, 8, "bolt"),  # another sequence
    )
    tracks = link(boxes)
    assert tracks.track.tolist() == [0, 1, 1, 0, 2, 0, 3, 4]
    assert tracks.sequence.tolist() == [0, 0, 0, 0, 1]
    assert tracks.previous.tolist() == [-1, -1, 1, 0, -1, 3, -1, -1]
    assert tracks.following.tolist() == [3, 2, -1, 5, -1, -1, -1, -1]


def test_rows_may_come_in_any_order():
    boxes = table(("a", 2, 8, "nut"), ("b", 0, 0, "nut"), ("a", 0, 0, "nut"), ("a", 1, 4, "nut"), ("b", 1, 4, "nut"))
    track = link(boxes).track
    assert track[0] == track[2] == track[3]
    assert track[1] == track[4] != track[0]


def test_overlaps_have_the_greatest_sum():
    # The nearest box of the first is the second's own: greedily it would take it and leave the second without one.
    boxes = table(("a", 0, 0, "nut"), ("a", 0, 8, "nut"), ("a", 1, 5, "nut"), ("a", 1, 14, "nut"))
    assert link(boxes).track.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(("frame", "same"), [(3, True), (4, False)])
def test_a_track_bridges_two_lost_frames(frame, same):
    track = link(table(("a", 0, 0, "nut"), ("a", frame, 0, "nut"))).track
    assert bool(track[0] == track[1]) is same


def test_a_frame_outside_its_sequence_is_refused():
    with pytest.raises(ValueError, match="from 0 to 5 in sequence a, got 6"):
        link(table(("a", 6, 0, "nut")))
