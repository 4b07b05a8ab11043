from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from pipeline.selection.escalation import LOOK, Moves, choose_ranges, turning_points, who_advances
from pipeline.settings import SelectionSettings
from tests.selection.evidence import evidence_of

SETTINGS = SelectionSettings(target_precision=0.8, confidence=0.9)
"""A certificate needs at least 11 boxes, a chance of one 6."""


# Where classes turn


@pytest.mark.parametrize(
    ("p_correct", "expected"),
    [
        ([], {}),
        ([0.9] * 5, {}),
        ([0.9] * 6, {"bolt": 0.9}),
        ([0.7] * 20, {}),
        ([0.9] * 6 + [0.7] * 6, {"bolt": 0.7}),
        ([0.9] * 6 + [0.7] * 7 + [0.1], {"bolt": 0.7}),
        ([0.9] * 12 + [0.1] * 9, {"bolt": 0.1}),
    ],
    ids=[
        "no boxes", "too few", "just enough", "none sure enough", "as many less sure ones as the sure ones carry",
        "one more than they carry", "the surest carry one that is surely wrong",
    ],
)  # fmt: skip
def test_the_surest_boxes_together_keep_the_promise_down_to_the_turning_point(p_correct, expected):
    order = np.random.default_rng(0).permutation(len(p_correct))
    labels = np.full(len(p_correct), "bolt")
    turns = turning_points(np.array(p_correct)[order], labels, SETTINGS)
    assert turns == pytest.approx(expected)


def test_classes_turn_by_themselves():
    p_correct = np.array([0.9] * 8 + [0.3] * 8 + [0.85] * 8)
    labels = np.repeat(["bolt", "gear", "nut"], 8)
    assert turning_points(p_correct, labels, SETTINGS) == pytest.approx({"bolt": 0.9, "nut": 0.85})


# Who may advance

TURN = {"bolt": 0.5}


def moves(before, after=None, price=1.0, labels=None, images=None):
    before = expit(np.array(before, dtype=np.float64))
    after = expit(np.full(len(before), 10.0) if after is None else np.array(after, dtype=np.float64))
    labels = np.full(len(before), "bolt") if labels is None else np.array(labels)
    return Moves(before, after, labels, np.full(len(before), price), None if images is None else np.array(images))


def widths(ranges):
    return {label: pytest.approx((expit(-width), expit(width)), abs=1e-6) for label, width in ranges.items()}


@pytest.mark.parametrize(
    ("allowance", "width", "cost"),
    [(0.0, None, 0.0), (0.9, None, 0.0), (1.0, 0.5, 1.0), (2.5, 1.0, 2.0), (3.0, 3.0, 3.0), (99.0, 4.0, 4.0)],
)
def test_the_nearest_to_the_threshold_advance_as_far_as_the_budget_reaches(allowance, width, cost):
    """Four boxes at logits 0.5, -1, 3 and -4 from the threshold."""
    ranges, spent = choose_ranges(moves([3.0, 0.5, -4.0, -1.0]), TURN, allowance)
    assert ranges == widths({} if width is None else {"bolt": width})
    assert spent == cost


def test_nobody_advances_farther_than_the_next_stage_moves_boxes():
    """The next stage moves every box by 0.6 at most."""
    before = np.array([0.2, -0.5, 0.9, -3.0])
    ranges, spent = choose_ranges(moves(before, before + 0.6), TURN, 99.0)
    assert ranges == widths({"bolt": 0.6})
    assert spent == 2.0


def test_equals_advance_together_or_not_at_all():
    """Two boxes at the same distance where one can be paid for: what is spent is what they cost."""
    ranges, spent = choose_ranges(moves([1.0, -1.0]), TURN, 1.5)
    assert ranges == widths({"bolt": 1.0})
    assert spent == 2.0


def test_a_class_without_a_chance_costs_nothing():
    ranges, spent = choose_ranges(moves([0.1, 0.2], labels=["gear", "bolt"]), TURN, 99.0)
    assert ranges.keys() == {"bolt"}
    assert spent == 1.0
    assert choose_ranges(moves([0.1], labels=["gear"]), {}, 99.0) == ({}, 0.0)
    assert choose_ranges(moves([]), TURN, 99.0) == ({}, 0.0)


def test_an_augmented_view_is_paid_for_with_the_first_box_of_an_image():
    images = ["a", "a", "a", "b"]
    ranges, spent = choose_ranges(moves([0.1, 0.2, 3.0, 0.3], images=images), TURN, 1.0)
    assert spent == 1.0
    assert ranges == widths({"bolt": 0.2}), "the third box of the image would be free, the one before it is not"
    assert choose_ranges(moves([0.1, 0.2, 3.0, 0.3], images=images), TURN, 2.0)[1] == 2.0


# Who does


ROWS = evidence_of({"image_id": "a"}, {"image_id": "a"}, {"image_id": "b", "label": "gear"}, {"image_id": "b"})
RANGES = {"bolt": (0.4, 0.6)}


@pytest.mark.parametrize(
    ("stage", "expected"),
    [(LOOK, [True, True, False, False]), (LOOK + 1, [True, False, False, False])],
    ids=["to an augmented view with all others of the image", "alone"],
)
def test_boxes_within_the_range_of_their_class_advance(stage, expected):
    assert who_advances(stage, np.array([0.4, 0.7, 0.5, 0.39]), ROWS, RANGES).tolist() == expected


def test_no_boxes_advance_without_ranges():
    assert who_advances(LOOK, np.full(4, 0.5), ROWS, {}).tolist() == [False] * 4
    assert who_advances(LOOK, np.zeros(0), ROWS.slice(0, 0), RANGES).shape == (0,)
