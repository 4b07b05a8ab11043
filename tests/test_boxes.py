from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.boxes import as_boxes, clip, grow, intersection, intersection_over_first, is_valid, scale, shift

CORNER = st.integers(-20, 120)
SIDE = st.integers(0, 60)
BOXES = st.lists(st.tuples(CORNER, CORNER, SIDE, SIDE), max_size=6).map(
    lambda rows: as_boxes([(x, y, x + w, y + h) for x, y, w, h in rows])
)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], torch.zeros(0, 4)),
        ([(1, 2, 3, 4)], torch.tensor([[1.0, 2.0, 3.0, 4.0]])),
        (torch.tensor([[1, 2, 3, 4]], dtype=torch.float64), torch.tensor([[1.0, 2.0, 3.0, 4.0]])),
    ],
)
def test_as_boxes(rows, expected):
    boxes = as_boxes(rows)
    assert boxes.dtype == torch.float32
    assert torch.equal(boxes, expected)


@pytest.mark.parametrize(
    ("corners", "min_size_px", "valid"),
    [
        ((0, 0, 100, 50), 0, True),
        ((10, 10, 11, 11), 1, True),
        ((10, 10, 10.5, 20), 1, False),
        ((10, 10, 10, 20), 0, False),
        ((20, 10, 10, 20), 0, False),
        ((-1, 0, 10, 10), 0, False),
        ((0, -1, 10, 10), 0, False),
        ((0, 0, 101, 10), 0, False),
        ((0, 0, 10, 51), 0, False),
        ((math.nan, 0, 10, 10), 0, False),
        ((0, 0, math.inf, 10), 0, False),
    ],
)
def test_is_valid(corners, min_size_px, valid):
    assert is_valid(as_boxes([corners]), 100, 50, min_size_px).tolist() == [valid]


@pytest.mark.parametrize("function", [lambda b: clip(b, 9, 9), lambda b: grow(b, 0.5), lambda b: scale(b, 2, 2)])
def test_no_boxes_stay_no_boxes(function):
    assert function(torch.zeros(0, 4)).shape == (0, 4)


@pytest.mark.parametrize(
    ("function", "corners", "expected"),
    [
        (lambda b: clip(b, 100, 50), (10, 10, 20, 20), (10, 10, 20, 20)),
        (lambda b: clip(b, 100, 50), (-5, -5, 105, 55), (0, 0, 100, 50)),
        (lambda b: clip(b, 100, 50), (120, 10, 130, 20), (100, 10, 100, 20)),
        (lambda b: grow(b, 0.0), (10, 20, 30, 60), (10, 20, 30, 60)),
        (lambda b: grow(b, 0.25), (10, 20, 30, 60), (5, 10, 35, 70)),
        (lambda b: scale(b, 2, 0.5), (10, 20, 30, 60), (20, 10, 60, 30)),
        (lambda b: shift(b, torch.tensor([1.0, -2.0])), (10, 20, 30, 60), (11, 18, 31, 58)),
        (lambda b: shift(b, torch.tensor([[1.0, -2.0]])), (10, 20, 30, 60), (11, 18, 31, 58)),
    ],
)
def test_moved_boxes(function, corners, expected):
    assert function(as_boxes([corners])).tolist() == [list(expected)]


def test_each_box_has_its_own_offset():
    boxes = as_boxes([(0, 0, 1, 1), (0, 0, 1, 1)])
    assert shift(boxes, torch.tensor([[1.0, 0.0], [0.0, 2.0]])).tolist() == [[1, 0, 2, 1], [0, 2, 1, 3]]


@settings(derandomize=True, deadline=None)
@given(BOXES, BOXES)
def test_intersection_equals_a_plain_loop(first, second):
    expected = [
        [
            max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            for b in second.tolist()
        ]
        for a in first.tolist()
    ]
    assert intersection(first, second).tolist() == expected


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        ((0, 0, 10, 10), (20, 20, 30, 30), 0.0),
        ((0, 0, 10, 10), (0, 0, 5, 10), 0.5),
        ((0, 0, 5, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),
    ],
)
def test_intersection_over_first(first, second, share):
    assert intersection_over_first(as_boxes([first]), as_boxes([second])).tolist() == [[pytest.approx(share)]]
