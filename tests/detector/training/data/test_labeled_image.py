from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.training.data.labeled_image import LabeledPixels, cut_to, hide, join_visible

WIDTH, HEIGHT = 40, 30
PIXELS = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)


def item(boxes=(), ignore=()) -> LabeledPixels:
    count = len(boxes)
    return LabeledPixels(
        PIXELS, as_boxes(boxes), torch.arange(1, count + 1), torch.linspace(0.5, 1.0, count), as_boxes(ignore)
    )


@pytest.mark.parametrize(
    ("boxes", "ignore", "labels", "kept", "regions"),
    [
        ([], [], [], [], []),
        ([(5, 5, 15, 15)], [], [1], [(5, 5, 15, 15)], []),
        ([(-5, 5, 5, 15)], [], [1], [(0, 5, 5, 15)], []),  # half of it
        ([(-8, 5, 2, 15)], [], [], [], [(0, 5, 2, 15)]),  # a fifth
        ([(-10, 5, 0, 15)], [], [], [], []),
        ([(100, 5, 110, 15), (5, 5, 15, 15)], [], [2], [(5, 5, 15, 15)], []),
        ([], [(35, 25, 45, 35)], [], [], [(35, 25, 40, 30)]),
        ([(35, -9, 45, 1)], [(0, 0, 5, 5)], [], [], [(0, 0, 5, 5), (35, 0, 40, 1)]),
    ],
)
def test_what_is_cut(boxes, ignore, labels, kept, regions):
    cut = cut_to(PIXELS, item(boxes, ignore))
    assert cut.boxes.tolist() == [list(map(float, box)) for box in kept]
    assert cut.ignore.tolist() == [list(map(float, region)) for region in regions]
    assert cut.labels.tolist() == labels
    assert len(cut.weights) == len(labels)


def test_boxes_are_counted_from_the_new_corner():
    cut = cut_to(PIXELS, item([(25, 17, 35, 27)], [(20, 10, 22, 12)]), (20, 10))
    assert cut.boxes.tolist() == [[5, 7, 15, 17]]
    assert cut.ignore.tolist() == [[0, 0, 2, 2]]


@pytest.mark.parametrize(
    ("boxes", "covers", "labels", "regions"),
    [
        ([], [], [], 0),
        ([(0, 0, 10, 10)], [], [1], 0),
        ([], [(0, 0, 10, 10)], [], 0),
        ([(0, 0, 10, 10)], [(0, 0, 7, 10)], [1], 0),
        ([(0, 0, 10, 10)], [(0, 0, 8, 10)], [], 1),
        ([(0, 0, 10, 10)], [(0, 0, 10, 5), (0, 5, 10, 8)], [], 1),  # two together
        ([(0, 0, 10, 10)], [(0, 0, 10, 5), (0, 0, 10, 6)], [1], 0),  # two on one place
        ([(0, 0, 10, 10), (20, 20, 30, 30)], [(15, 15, 40, 30)], [1], 1),
        ([(10, 10, 20, 20)], [(0, 0, 10, 30), (20, 0, 40, 30)], [1], 0),  # beside it
        ([(0.4, 0.4, 9.6, 9.6)], [(0, 0, 10, 10)], [], 1),
    ],
)
def test_what_is_hidden(boxes, covers, labels, regions):
    left = hide(item(boxes), PIXELS, as_boxes(covers).long())
    assert left.labels.tolist() == labels
    assert len(left.boxes) == len(left.weights) == len(labels)
    assert len(left.ignore) == regions


UNKNOWN = (float("nan"),) * 4


def with_visible(boxes, visible, ignore=()) -> LabeledPixels:
    return replace(item(boxes, ignore), visible=as_boxes(visible))


def known(visible) -> list[list[float] | None]:
    return [None if row[0] != row[0] else row for row in visible.tolist()]


def test_boxes_regions_and_known_visible_boxes_move_together():
    before = with_visible([(0, 0, 10, 10), (5, 5, 9, 9)], [UNKNOWN, (5, 5, 9, 7)], [(20, 20, 30, 30)])
    assert len(before.places()) == 4
    after = before.moved(before.places() + 1)
    assert after.boxes.tolist() == [[1, 1, 11, 11], [6, 6, 10, 10]]
    assert after.ignore.tolist() == [[21, 21, 31, 31]]
    assert known(after.visible) == [None, [6, 6, 10, 8]]
    assert known(before.visible) == [None, [5, 5, 9, 7]]
    assert item([(0, 0, 1, 1)]).moved(torch.ones(1, 4)).visible is None


@pytest.mark.parametrize(
    ("box", "visible", "expected"),
    [
        ((-5, 5, 5, 15), (-2, 5, 5, 10), [[0, 5, 5, 10]]),
        ((-5, 5, 5, 15), (-5, 5, 0, 15), [None]),  # what is seen of it has left the image
        ((-5, 5, 5, 15), UNKNOWN, [None]),
        ((-8, 5, 2, 15), (-8, 5, 2, 15), []),  # no object any more
    ],
)
def test_visible_boxes_are_cut_with_their_objects(box, visible, expected):
    cut = cut_to(PIXELS, with_visible([box], [visible]))
    assert known(cut.visible) == expected
    assert cut_to(PIXELS, item([box])).visible is None


def test_what_is_seen_of_a_covered_object_is_not_known():
    boxes = [(0, 0, 10, 10), (20, 20, 30, 30), (10, 0, 18, 8)]
    left = hide(with_visible(boxes, boxes), PIXELS, as_boxes([(0, 0, 10, 9), (20, 20, 22, 30)]).long())
    assert left.labels.tolist() == [2, 3]
    assert known(left.visible) == [None, list(map(float, boxes[2]))]
    assert join_visible([None, None]) is None
    assert len(join_visible([left.visible, left.visible])) == 4
