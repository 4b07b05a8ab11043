from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.boxes import as_boxes, is_valid
from pipeline.detector.inference.stream import FILL
from pipeline.detector.training.data.labeled_image import MIN_VISIBLE, LabeledPixels
from pipeline.detector.training.data.mosaic import mosaic
from pipeline.settings import MosaicSettings

WHITE = 255
SCALE_1 = MosaicSettings(enabled=True, scale_min=1.0, scale_max=1.0)


def image(number, boxes=(), size=(80, 60), ignore=()) -> LabeledPixels:
    """A plain image with a white rectangle a box."""
    pixels = np.full((size[1], size[0], 3), 10 * number, dtype=np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = WHITE
    labels = torch.full((len(boxes),), number, dtype=torch.int64)
    return LabeledPixels(pixels, as_boxes(boxes), labels, torch.full((len(boxes),), number / 10), as_boxes(ignore))


def four(boxes=(), **values):
    return [image(number, boxes, **values) for number in (1, 2, 3, 4)]


def test_no_boxes():
    made = mosaic(four(), SCALE_1, np.random.default_rng(0))
    assert made.pixels.shape == (60, 80, 3)
    assert made.boxes.shape == made.ignore.shape == (0, 4)


def test_the_four_meet_in_the_middle_part():
    for seed in range(20):
        made = mosaic(four(), SCALE_1, np.random.default_rng(seed)).pixels[..., 0]
        assert [made[0, 0], made[0, -1], made[-1, 0], made[-1, -1]] == [10, 20, 30, 40]
        x, y = int((made[0] == 10).sum()), int((made[:, 0] == 10).sum())
        assert 24 <= x <= 56
        assert 18 <= y <= 42
        assert (made[:y, :x] == 10).all()
        assert (made[y:, x:] == 40).all()


def test_visible_boxes_come_along():
    items = [replace(one, visible=one.boxes.clone()) for one in four([(20, 20, 60, 40)])]
    for seed in range(20):
        made = mosaic(items, MosaicSettings(enabled=True), np.random.default_rng(seed))
        assert torch.equal(made.visible, made.boxes)
    assert mosaic(four([(20, 20, 60, 40)]), SCALE_1, np.random.default_rng(0)).visible is None


@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.5, 0.5), (1.0, 2.0), (0.4, 1.6)])
def test_boxes_lie_where_their_pixels_are(scales):
    """Every object that is kept is white inside its box, but for resized edges, and nothing is white outside of any."""
    settings = MosaicSettings(enabled=True, scale_min=scales[0], scale_max=scales[1])
    kept = ignored = 0
    for seed in range(40):
        boxes = [(10, 10, 26, 24), (50, 36, 70, 52)]
        made = mosaic(four(boxes), settings, np.random.default_rng(seed))
        known = np.zeros(made.pixels.shape[:2], dtype=bool)
        for x1, y1, x2, y2 in torch.cat([made.boxes, made.ignore]).tolist():
            known[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = True
        assert not ((made.pixels[..., 0] > 150) & ~known).any()
        for (x1, y1, x2, y2), label, weight in zip(made.boxes.tolist(), made.labels, made.weights, strict=True):
            inside = made.pixels[int(np.ceil(y1)) : int(y2), int(np.ceil(x1)) : int(x2), 0]
            assert inside[1:-1, 1:-1].size == 0 or inside[1:-1, 1:-1].min() > 200
            assert weight == pytest.approx(int(label) / 10)
        assert is_valid(made.boxes, 80, 60).all()
        kept, ignored = kept + len(made.boxes), ignored + len(made.ignore)
    assert kept > 40
    assert scales[1] < 1 or ignored > 0  # what is shrunk to a half always fits somewhere, but may be cut as well


def test_objects_cut_deep_are_ignored_and_ignore_regions_come_along():
    shares = []
    for seed in range(100):
        made = mosaic(four([(0, 0, 80, 30)], ignore=[(0, 30, 80, 60)]), SCALE_1, np.random.default_rng(seed))
        areas = (made.boxes[:, 2:] - made.boxes[:, :2]).prod(1) / (80 * 30)
        assert (areas >= MIN_VISIBLE).all()
        shares += areas.tolist()
        assert len(made.ignore) > 0
    assert len(shares) > 10


def test_a_small_image_leaves_its_tile_filled():
    small = [image(1, size=(80, 60)), *(image(number, size=(8, 6)) for number in (2, 3, 4))]
    made = mosaic(small, SCALE_1, np.random.default_rng(3)).pixels[..., 0]
    assert made[-1, -1] == FILL
    assert {10, 20, 30, 40, FILL} == set(np.unique(made).tolist())


def test_the_same_seed_gives_the_same_mosaic_and_items_stay_as_they_are():
    items = four([(10, 10, 26, 24)])
    before = [one.pixels.copy() for one in items]
    one, again, other = (mosaic(items, MosaicSettings(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert torch.equal(one.boxes, again.boxes)
    assert not np.array_equal(one.pixels, other.pixels)
    assert all(np.array_equal(item.pixels, pixels) for item, pixels in zip(items, before, strict=True))
