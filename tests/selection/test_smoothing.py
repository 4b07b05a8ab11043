from __future__ import annotations

import numpy as np
import pytest

from pipeline.selection.quality import auroc
from pipeline.selection.smoothing import MovingAverage, fit_smoother
from pipeline.selection.tracks import Tracks, link
from tests.selection.test_tracks import table

FRAMES = 6


@pytest.mark.parametrize(
    ("average", "smoothed"),
    [
        (MovingAverage(reach=0), [0.8, 0.2, 0.2, 0.9]),
        (MovingAverage(reach=1), [1.0 / 2, 1.2 / 3, 0.4 / 2, 0.9]),
        (MovingAverage(reach=1, lost=0.0), [1.0 / 3, 1.2 / 3, 0.4 / 3, 0.9 / 2]),
        (MovingAverage(reach=9), [2.1 / 4] * 4),
        (MovingAverage(reach=9, lost=0.0), [2.1 / 6] * 4),
    ],
)
def test_a_moving_average_of_a_track_that_frames_0_and_4_do_not_show(average, smoothed):
    track = Tracks(np.zeros(4, np.int64), np.array([1, 2, 3, 5]), np.zeros(1, np.int64), np.array([FRAMES]))
    assert average(track, np.array([0.8, 0.2, 0.2, 0.9])) == pytest.approx(smoothed)


def told_by_the_first_frame(sequences, seed):
    """Tracks that are right throughout where p(correct) of the first frame is high; the other frames tell nothing."""
    boxes = table(*((f"s{n:03d}", frame, 0, "nut") for n in range(sequences) for frame in range(FRAMES)))
    p_correct = np.random.default_rng(seed).uniform(0.1, 0.9, (sequences, FRAMES))
    right = np.repeat(p_correct[:, 0] > 0.5, FRAMES)
    return link(boxes), boxes, p_correct.ravel(), right


def test_the_network_learns_what_no_window_of_the_moving_average_shows():
    smoother = fit_smoother(*told_by_the_first_frame(160, 0), seed=0)
    tracks, boxes, p_correct, right = told_by_the_first_frame(80, 1)
    late = tracks.frame >= 3
    assert auroc(p_correct[late], right[late]) < 0.6
    assert auroc(MovingAverage()(tracks, p_correct)[late], right[late]) < 0.6
    smoothed = smoother(tracks, boxes, p_correct)
    assert auroc(smoothed[late], right[late]) > 0.95
    again = fit_smoother(*told_by_the_first_frame(160, 0), seed=0)(tracks, boxes, p_correct)
    assert np.array_equal(smoothed, again)


def test_nothing_is_changed_where_there_is_nothing_to_learn():
    # Those that are left out contradict what is fitted, so that no epoch is better than none.
    boxes = table(*((name, frame, 0, "nut") for name in "ab" for frame in range(FRAMES)))
    tracks, p_correct = link(boxes), np.full(2 * FRAMES, 0.5)
    smoother = fit_smoother(tracks, boxes, p_correct, tracks.track == 0, seed=0)
    assert smoother.epochs == 0
    assert smoother(tracks, boxes, p_correct) == pytest.approx(p_correct)


def test_no_boxes_are_smoothed_to_none():
    smoother = fit_smoother(*told_by_the_first_frame(2, 0), seed=0)
    assert smoother(link(table()), table(), np.zeros(0)).shape == (0,)
    assert MovingAverage()(link(table()), np.zeros(0)).shape == (0,)


def test_a_single_sequence_is_not_enough():
    with pytest.raises(ValueError, match="at least two sequences"):
        fit_smoother(*told_by_the_first_frame(1, 0), seed=0)
