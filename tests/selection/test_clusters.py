import numpy as np
import pytest

from pipeline.selection.clusters import design_effect, error_correlation


def correlation(p_correct, right, groups):
    return error_correlation(np.array(p_correct, float), np.array(right, bool), np.array(groups, np.intp))


def test_no_boxes_and_boxes_that_stand_alone_tell_nothing():
    assert correlation([], [], []) == 0
    assert correlation([0.9] * 4, [True, False, True, False], [0, 1, 2, 3]) == 0


def test_boxes_that_share_their_fate():
    right = np.repeat(np.random.default_rng(0).random(400) < 0.9, 5)
    assert correlation([0.9] * 2000, right, np.repeat(np.arange(400), 5)) == pytest.approx(1, abs=0.02)


def test_independent_boxes():
    right = np.random.default_rng(0).random(5000) < 0.9
    assert correlation([0.9] * 5000, right, np.repeat(np.arange(500), 10)) < 0.02


def test_a_negative_correlation_counts_as_none():
    assert correlation([0.5] * 400, [True, False] * 200, np.repeat(np.arange(200), 2)) == 0


def test_unlikely_boxes_have_no_part_in_it():
    right, groups = [True, True, False, False], [0, 0, 1, 1]
    with_unlikely = correlation([0.9] * 4 + [0.1] * 6, right + [True] * 6, [*groups, 0, 0, 0, 1, 1, 1])
    assert with_unlikely == correlation([0.9] * 4, right, groups) > 0


@pytest.mark.parametrize(
    ("groups", "shared", "expected"),
    [
        ([], 0.5, 1.0),
        ([0, 1, 2], 1.0, 1.0),
        ([0, 0, 1, 1], 0.0, 1.0),
        ([0, 0, 1, 1], 1.0, 2.0),
        ([0, 0, 0, 1], 0.5, 1.75),
    ],
)
def test_design_effect(groups, shared, expected):
    assert design_effect(np.array(groups, np.intp), shared) == pytest.approx(expected)
