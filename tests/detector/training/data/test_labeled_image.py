from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.training.data.labeled_image import LabeledPixels, cut_to, hide

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
    cut = cut_to(PIXELS, item(boxes), as_boxes(boxes), as_boxes(ignore))
    assert cut.boxes.tolist() == [list(map(float, box)) for box in kept]
    assert cut.ignore.tolist() == [list(map(float, region)) for region in regions]
    assert cut.labels.tolist() == labels
    assert len(cut.weights) == len(labels)


def test_boxes_are_counted_from_the_new_corner():
    cut = cut_to(PIXELS, item([(0, 0, 1, 1)]), as_boxes([(25, 17, 35, 27)]), as_boxes([(20, 10, 22, 12)]), (20, 10))
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
