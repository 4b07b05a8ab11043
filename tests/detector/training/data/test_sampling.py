from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipeline.detector.training.data.sampling import Epochs, boosted, repeat_factors
from tests.builders import box, sample


def epochs(members, factors=None, seed=0):
    factors = np.ones(len(members)) if factors is None else np.array(factors, dtype=np.float64)
    return Epochs(np.array(members, dtype=np.int64), factors, seed, "labeled")


def test_no_images():
    assert epochs([]).between(0, 0) == []
    assert repeat_factors([], 0.1).shape == (0,)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_image_once_an_epoch(count):
    members = list(range(10, 10 + count))
    order = epochs(members)
    for epoch in range(5):
        assert sorted(order.between(epoch * count, (epoch + 1) * count)) == members
    assert count < 7 or order.between(0, count) != order.between(count, 2 * count)


def test_positions_do_not_depend_on_where_one_begins():
    order = epochs(range(7), [1.0, 1.5, 2.0, 1.0, 1.0, 3.3, 1.0])
    whole = order.between(0, 60)
    assert [one for start in range(0, 60, 7) for one in order.between(start, min(60, start + 7))] == whole
    assert epochs(range(7), seed=1).between(0, 7) != epochs(range(7)).between(0, 7)


@pytest.mark.parametrize("factors", [[1.0, 2.0], [1.0, 1.5, 1.0], [1.0, 3.2, 1.7, 1.0], [5.0]])
def test_images_are_shown_as_often_as_their_factors_say(factors):
    members = list(range(len(factors)))
    order, total = epochs(members, factors), int(np.ceil(sum(factors)))
    shown = Counter(order.between(0, 200 * total))
    for member, factor in zip(members, factors, strict=True):
        assert shown[member] / 200 == pytest.approx(factor * total / sum(factors), rel=0.1)
    for epoch in range(20):
        counts = Counter(order.between(epoch * total, (epoch + 1) * total))
        assert all(counts[member] >= 1 for member in members)  # a factor of 1 or more


@pytest.mark.parametrize(
    ("classes", "threshold", "expected"),
    [
        (["", ""], 0.5, [1, 1]),
        (["a", "a"], 1.0, [1, 1]),
        (["a", "a", "a", "b"], 0.5, [1, 1, 1, 2**0.5]),
        (["a", "a", "a", "ab"], 0.5, [1, 1, 1, 2**0.5]),  # the largest of its classes
        (["a", "a", "a", "b"], 0.25, [1, 1, 1, 1]),
        (["a", "a", "a", ""], 1.0, [(4 / 3) ** 0.5] * 3 + [1]),
    ],
)
def test_repeat_factors_written_out(classes, threshold, expected):
    samples = [
        sample(f"{i}", *(box(k, 0, k + 2, 2, label) for k, label in enumerate(names)))
        for i, names in enumerate(classes)
    ]
    assert repeat_factors(samples, threshold).tolist() == pytest.approx(expected)


def test_many_boxes_of_a_class_in_one_image_count_once():
    samples = [sample("a", *(box(k, 0, k + 2, 2, "a") for k in range(9))), sample("b", box(0, 0, 2, 2, "b"))]
    assert repeat_factors(samples, 1.0).tolist() == pytest.approx([2**0.5] * 2)


@pytest.mark.parametrize(
    ("factors", "errors", "boosting", "expected"),
    [
        ([], [], 1.0, []),
        ([1, 1], [0, 0], 3.0, [1, 1]),
        ([1, 1, 1], [1, 1, 1], 3.0, [1, 1, 1]),  # wrong about all alike
        ([1, 1], [0, 1], 1.0, [2 / 3, 4 / 3]),
        ([1, 1], [0, 1], 2.0, [1 / 2, 3 / 2]),
        ([1, 1], [0, 0.5], 2.0, [2 / 3, 4 / 3]),
        ([1, 2], [1, 0], 1.0, [3 / 2, 3 / 2]),  # beside a rare class
    ],
)
def test_boosted_factors_written_out(factors, errors, boosting, expected):
    made = boosted(np.array(factors, dtype=np.float64), np.array(errors, dtype=np.float64), boosting)
    assert made.tolist() == pytest.approx(expected)
    assert made.sum() == pytest.approx(sum(factors)), "as many images an epoch"


def test_without_boosting_factors_are_the_same_to_the_bit():
    random = np.random.default_rng(0)
    factors, errors = 1 + random.random(50), random.random(50)
    np.testing.assert_array_equal(boosted(factors, errors, 0.0), factors)
    np.testing.assert_array_equal(boosted(factors, np.zeros(50), 3.0), factors)


@pytest.mark.parametrize("boosting", [0.5, 2.0, 50.0])
def test_images_are_drawn_by_their_errors_in_the_long_run(boosting):
    """Each epoch shows an image as often as its factor says, rounded at random: a deviation of at most a half."""
    errors = np.random.default_rng(1).random(9)
    factors, rounds = boosted(np.ones(9), errors, boosting), 400
    shown = Counter(epochs(range(9), factors).between(0, 9 * rounds))
    assert sum(shown.values()) == 9 * rounds
    for image, factor in enumerate(factors):
        assert abs(shown[image] - factor * rounds) <= 4 * 0.5 * rounds**0.5
