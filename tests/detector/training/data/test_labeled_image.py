from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.dataset.formats.coco_masks import MASK_SIDE
from pipeline.dataset.object_masks import Masks
from pipeline.detector.training.data.labeled_image import LabeledPixels, cut_to, hide, join

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
    assert len(before.points()) == 4 * 4
    after = before.moved(before.points() + 1)
    assert after.boxes.tolist() == [[1, 1, 11, 11], [6, 6, 10, 10]]
    assert after.ignore.tolist() == [[21, 21, 31, 31]]
    assert known(after.visible) == [None, [6, 6, 10, 8]]
    assert known(before.visible) == [None, [5, 5, 9, 7]]
    assert item([(0, 0, 1, 1)]).moved(torch.ones(4, 2)).visible is None


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
    assert known(join(PIXELS, [left, item(boxes[:1])]).visible) == [*known(left.visible), None]
    assert join(PIXELS, [item(boxes), item(boxes)]).visible is None


FRAME = [[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]]


def with_masks(boxes, frames, ignore=()) -> LabeledPixels:
    """One raster each, full of the object's number."""
    count = len(boxes)
    rasters = torch.arange(count, dtype=torch.uint8)[:, None, None].expand(count, MASK_SIDE, MASK_SIDE)
    frames = [frame or torch.full((3, 2), torch.nan).tolist() for frame in frames]
    return replace(item(boxes, ignore), masks=Masks(torch.tensor(frames).reshape(-1, 3, 2), rasters))


def frames_of(masks: Masks) -> list[list[list[float]] | None]:
    return [frame if is_known else None for frame, is_known in zip(masks.frames.tolist(), masks.known, strict=True)]


def test_masks_move_with_their_frames_and_mirror():
    before = with_masks([(0, 0, 10, 10), (0, 0, 8, 8)], [None, FRAME], [(20, 20, 30, 30)])
    mirrored = before.moved(torch.tensor([WIDTH, 0]) + before.points() * torch.tensor([-1, 1]))
    assert mirrored.boxes.tolist() == [[30, 0, 40, 10], [32, 0, 40, 8]]
    assert frames_of(mirrored.masks) == [None, [[40, 0], [32, 0], [40, 8]]]
    assert frames_of(before.masks) == [None, FRAME]
    assert item([(0, 0, 1, 1)]).moved(torch.ones(4, 2)).masks is None


def test_masks_of_cut_objects_reach_beyond_the_image():
    boxes = [(-100, 0, -90, 8), (-2, 0, 6, 8)]
    cut = cut_to(PIXELS, with_masks(boxes, [FRAME, FRAME]), (1, 2))
    assert cut.labels.tolist() == [2]
    assert frames_of(cut.masks) == [[[-1, -2], [7, -2], [-1, 6]]]
    assert cut.masks.rasters.unique().tolist() == [1]


def test_masks_of_covered_objects_are_not_known():
    boxes = [(0, 0, 10, 10), (20, 20, 30, 30), (10, 0, 18, 8)]
    left = hide(with_masks(boxes, [FRAME] * 3), PIXELS, as_boxes([(0, 0, 10, 9), (20, 20, 22, 30)]).long())
    assert left.labels.tolist() == [2, 3]
    assert frames_of(left.masks) == [None, FRAME]
    assert left.masks.rasters[1].unique().tolist() == [2]
    both = join(PIXELS, [left, item(boxes[:1])])
    assert frames_of(both.masks) == [None, FRAME, None]
    target = both.target()
    assert target["frames"].shape == (3, 6)
    assert target["rasters"].shape == (3, MASK_SIDE, MASK_SIDE)
    assert not item(boxes).target().keys() & {"visible", "frames", "rasters"}
