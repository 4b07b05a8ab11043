from __future__ import annotations

import numpy as np
import pytest

from pipeline.selection.flicker import FLICKER_SCHEMA, find_flicker
from pipeline.selection.tracks import link
from tests.selection.test_tracks import table

BOXES = table(
    ("a", 0, 0, "nut"),
    ("a", 1, 4, "nut"),  # doubted; frames 3 and 4 are lost
    ("a", 2, 8, "nut"),
    ("a", 5, 17, "nut"),
    ("b", 0, 0, "nut"),
    ("b", 1, 0, "nut"),  # doubted at the end of its track
)
OWN = np.array([0.9, 0.2, 0.8, 0.9, 0.9, 0.2])
SMOOTHED = np.array([0.9, 0.85, 0.8, 0.75, 0.9, 0.9])


def test_a_doubted_box_and_two_lost_frames_are_found():
    doubted, *lost = find_flicker(BOXES, link(BOXES), OWN, SMOOTHED).to_pylist()
    assert (doubted["kind"], doubted["sequence"], doubted["frame"], doubted["row"], doubted["x1"]) == (
        "doubted", "a", 1, 1, 4,
    )  # fmt: skip
    assert [(row["kind"], row["frame"], row["row"], row["x1"], row["x2"]) for row in lost] == [
        ("lost", 3, None, 11, 31),
        ("lost", 4, None, 14, 34),
    ]
    assert [row["p_correct"] for row in lost] == [None, None]
    assert [row["smoothed"] for row in lost] == pytest.approx([0.75, 0.75])


@pytest.mark.parametrize(
    ("own", "smoothed", "kinds"),
    [
        (np.array([0.9, 0.6, 0.8, 0.9, 0.9, 0.2]), SMOOTHED, ["lost", "lost"]),  # the frame does not doubt
        (np.array([0.9, 0.2, 0.4, 0.9, 0.9, 0.2]), SMOOTHED, []),  # nothing after it holds the track
        (OWN, np.array([0.9, 0.4, 0.8, 0.4, 0.9, 0.9]), []),  # the track is not likely either
    ],
)
def test_what_is_no_flicker(own, smoothed, kinds):
    assert find_flicker(BOXES, link(BOXES), own, smoothed)["kind"].to_pylist() == kinds


def test_no_boxes_do_not_flicker():
    none = find_flicker(table(), link(table()), np.zeros(0), np.zeros(0))
    assert none.schema == FLICKER_SCHEMA
    assert len(none) == 0
