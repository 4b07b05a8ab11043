from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pipeline.boxes import as_boxes, is_valid
from pipeline.dataset.formats.coco_masks import MASK_SIDE
from pipeline.dataset.object_masks import Masks
from pipeline.detector.models.mask_branch import seen_from
from pipeline.detector.training.data.augment import Augmenter
from pipeline.detector.training.data.labeled_image import MIN_VISIBLE, LabeledPixels
from pipeline.settings import AugmentSettings, StrongViewSettings

# Moving by up to a tenth of the sides has no switch, so the plainest augmenter still moves the image.
PLAIN = {"horizontal_flip": 0.0, "vertical_flip": 0.0, "scale_min": 1.0, "scale_max": 1.0, "color": 0.0, "blur": 0.0}
HEIGHT, WIDTH = 48, 80
CORNERS = (30, 12, 46, 22)


def item(boxes=(CORNERS,), labels=None, weights=None, ignore=()) -> LabeledPixels:
    """A black image with a white rectangle a box."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = 255
    return LabeledPixels(
        pixels,
        as_boxes(boxes),
        torch.tensor([1] * len(boxes) if labels is None else labels, dtype=torch.int64),
        torch.tensor([1.0] * len(boxes) if weights is None else weights),
        as_boxes(ignore),
    )


def augmenter(**values) -> Augmenter:
    return Augmenter(AugmentSettings(**{**PLAIN, **values}))


def white(pixels) -> list[int]:
    """The corners of what is white."""
    rows, columns = np.nonzero(pixels[..., 0] > 200)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_no_boxes():
    changed = Augmenter(AugmentSettings())(item(boxes=()), seed=3)
    assert changed.boxes.shape == (0, 4)
    assert changed.ignore.shape == (0, 4)
    assert changed.labels.shape == changed.weights.shape == (0,)
    assert changed.pixels.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("flips", [{}, {"horizontal_flip": 1.0}, {"vertical_flip": 1.0},
                                   {"horizontal_flip": 1.0, "vertical_flip": 1.0}])  # fmt: skip
def test_boxes_move_and_flip_with_their_pixels_to_the_pixel(flips):
    change, places = augmenter(**flips), set()
    for seed in range(30):
        changed = change(item(), seed)
        assert changed.boxes.tolist() == [white(changed.pixels)]
        places.add(tuple(changed.boxes[0].tolist()))
    assert len(places) > 10


@pytest.mark.parametrize("flips", [{}, {"horizontal_flip": 1.0}, {"vertical_flip": 1.0}])
def test_visible_boxes_flip_with_what_is_seen(flips):
    """The white part is what is seen of the first object; nobody knows it of the second."""
    full, change = (30, 12, 54, 34), augmenter(**flips)
    unknown = (float("nan"),) * 4
    before = replace(item([CORNERS]), boxes=as_boxes([full, full]), labels=torch.ones(2), weights=torch.ones(2))
    before = replace(before, visible=as_boxes([CORNERS, unknown]))
    for seed in range(30):
        changed = change(before, seed)
        assert changed.visible[0].tolist() == white(changed.pixels)
        assert changed.visible[1].isnan().all()
        assert torch.equal(change(replace(before, visible=None), seed).boxes, changed.boxes)


@pytest.mark.parametrize("flips", [{}, {"horizontal_flip": 1.0}, {"vertical_flip": 1.0}])
def test_masks_flip_and_turn_with_their_objects(flips):
    """The white part is the upper left of the first object; the second has no mask."""
    full, change = (12, 8, 68, 40), augmenter(**flips, rotate_deg=20)
    rasters = torch.zeros(2, MASK_SIDE, MASK_SIDE, dtype=torch.uint8)
    rasters[0, : MASK_SIDE // 2, : MASK_SIDE // 2] = 1
    frames = torch.tensor([[[12.0, 8], [68, 8], [12, 40]], [[float("nan")] * 2] * 3])
    before = item([(12, 8, 40, 24)])
    before = replace(before, boxes=as_boxes([full, full]), labels=torch.ones(2), weights=torch.ones(2))
    before = replace(before, masks=Masks(frames, rasters))
    for seed in range(30):
        changed = change(before, seed)
        assert changed.masks.known.tolist() == [True, False]
        drawn = seen_from(as_boxes([(0, 0, WIDTH, HEIGHT)]), changed.masks.frames[:1], changed.masks.rasters[:1])
        told = F.interpolate(drawn[None], (HEIGHT, WIDTH), mode="bilinear")[0, 0] > 0.5
        shown = torch.from_numpy(changed.pixels[..., 0] > 200)
        assert (told & shown).sum() > 0.75 * (told | shown).sum()


@pytest.mark.parametrize(
    ("flips", "expected"),
    [
        ({}, (30, 12, 46, 22)),
        ({"horizontal_flip": 1.0}, (80 - 46, 12, 80 - 30, 22)),
        ({"vertical_flip": 1.0}, (30, 48 - 22, 46, 48 - 12)),
        ({"horizontal_flip": 1.0, "vertical_flip": 1.0}, (80 - 46, 48 - 22, 80 - 30, 48 - 12)),
    ],
)
def test_a_image_that_is_not_moved_has_its_corners_where_a_flip_puts_them(flips, expected):
    """One run in five is not moved; the most frequent corners are those."""
    change = augmenter(**flips)
    found = [tuple(change(item(), seed).boxes[0].tolist()) for seed in range(60)]
    assert max(set(found), key=found.count) == expected


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (1.0, 2.0)])
def test_boxes_scale_with_their_pixels_to_a_fraction_of_a_pixel(low, high):
    change, areas = augmenter(scale_min=low, scale_max=high, horizontal_flip=0.5), set()
    for seed in range(30):
        changed = change(item([(36, 20, 44, 26)]), seed)
        x1, y1, x2, y2 = changed.boxes[0].tolist()
        rows, columns = np.ogrid[:HEIGHT, :WIDTH]
        near = (rows > y1 - 3) & (rows < y2 + 2) & (columns > x1 - 3) & (columns < x2 + 2)  # not the filled edges
        light = near * changed.pixels[..., 0].astype(float) / 255
        middle_x = (light.sum(0) * (np.arange(WIDTH) + 0.5)).sum() / light.sum()
        middle_y = (light.sum(1) * (np.arange(HEIGHT) + 0.5)).sum() / light.sum()
        assert (middle_x, middle_y) == pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2), abs=0.15)
        assert light.sum() == pytest.approx((x2 - x1) * (y2 - y1), rel=0.2)  # scaled down without antialiasing
        areas.add(round((x2 - x1) * (y2 - y1)))
    assert max(areas) > 2 * min(areas)


def test_objects_that_are_cut_become_ignore_regions_and_those_that_leave_are_gone():
    """Objects at the left edge, a tenth of the width at most from leaving."""
    change, fates = augmenter(), {"kept": 0, "ignored": 0, "gone": 0}
    for seed in range(200):
        changed = change(item([(0, 20, 5, 30), (40, 20, 48, 30)], [2, 1], [0.4, 0.9]), seed)
        x1, y1, _, y2 = changed.boxes[-1].tolist()
        moved = x1 - 40
        visible = min(1.0, max(0.0, (5 + moved) / 5))
        kept = len(changed.boxes) == 2
        assert kept == (visible >= MIN_VISIBLE)
        assert changed.labels.tolist() == ([2, 1] if kept else [1])
        assert changed.weights.tolist() == pytest.approx([0.4, 0.9] if kept else [0.9])
        assert len(changed.ignore) == (not kept and visible > 0)
        if len(changed.ignore):
            assert changed.ignore[0].tolist() == pytest.approx([0, y1, 5 + moved, y2], abs=1e-4)
        fates["kept" if kept else "ignored" if visible > 0 else "gone"] += 1
    assert min(fates.values()) > 0


def test_ignore_regions_move_along():
    change = augmenter(horizontal_flip=1.0)
    for seed in range(10):
        changed = change(item(ignore=[CORNERS]), seed)
        assert torch.equal(changed.ignore, changed.boxes)


def test_the_same_seed_gives_the_same_pixels_whatever_came_before():
    settings = AugmentSettings(blur=0.5)
    first, other = Augmenter(settings), Augmenter(settings)
    other(item(), seed=99)
    for seed in (0, 1, 2**40):
        one, two = first(item(), seed), other(item(), seed)
        np.testing.assert_array_equal(one.pixels, two.pixels)
        assert torch.equal(one.boxes, two.boxes)
    images = {first(item(), seed).pixels.tobytes() for seed in range(20)}
    assert len(images) > 15


def test_global_random_streams_neither_matter_nor_move():
    import random

    change = Augmenter(AugmentSettings())
    first = change(item(), 5).pixels
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    state = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(change(item(), 5).pixels, first)
    assert random.getstate() == state[0]
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002


def test_boxes_stay_inside_with_an_area_and_the_item_as_it_was():
    change = Augmenter(AugmentSettings(scale_min=0.3, scale_max=3.0, vertical_flip=0.5))
    random = np.random.default_rng(0)
    for seed in range(100):
        x, y = random.integers(0, WIDTH - 12), random.integers(0, HEIGHT - 12)
        given = item([(x, y, x + 12, y + 12), (0, 0, WIDTH, HEIGHT)], ignore=[(0, 0, 9, 9)])
        before = given.pixels.copy(), given.boxes.clone()
        changed = change(given, seed)
        assert is_valid(changed.boxes, WIDTH, HEIGHT).all()
        assert is_valid(changed.ignore, WIDTH, HEIGHT).all()
        assert len(changed.boxes) == len(changed.labels) == len(changed.weights)
        np.testing.assert_array_equal(given.pixels, before[0])
        assert torch.equal(given.boxes, before[1])


STRONG = {"color": 0.0, "gray": 0.0, "blur": 0.0, "erase": 0.0}


def strong(**values) -> Augmenter:
    return augmenter(strong=StrongViewSettings(enabled=True, **{**STRONG, **values}))


@pytest.mark.parametrize("look", ["color", "gray", "blur", "erase"])
def test_every_strong_look_is_for_the_machines_images(look):
    """On an image of colours, since white stays white in gray."""
    plain, changed = strong(), strong(**{look: 1.0})
    colors = item([CORNERS])
    colors.pixels[::2] = (200, 30, 90)
    for seed in range(3):
        bare = plain(colors, seed, is_pseudo=True).pixels
        assert not np.array_equal(changed(colors, seed, is_pseudo=True).pixels, bare)
        np.testing.assert_array_equal(changed(colors, seed).pixels, plain(colors, seed).pixels)
    everywhere = augmenter(strong=StrongViewSettings(enabled=True, labeled_too=True, **{**STRONG, look: 1.0}))
    assert not np.array_equal(everywhere(colors, 0).pixels, plain(colors, 0).pixels)


def test_both_views_show_the_same_places():
    change = strong(color=1.0, gray=0.5, blur=1.0)
    for seed in range(10):
        weak = change.weak(item(), seed)
        after = change.strong(weak, seed, is_pseudo=True)
        assert torch.equal(weak.boxes, after.boxes)
        assert not np.array_equal(weak.pixels, after.pixels)


def test_objects_in_holes_are_ignored():
    small = [(x, y, x + 4, y + 3) for x in range(8, 72, 6) for y in range(8, 40, 5)]
    hidden = 0
    for seed in range(20):
        change = strong(erase=1.0)
        weak = change.weak(item(small), seed)
        after = change.strong(weak, seed, is_pseudo=True)
        assert len(after.boxes) + len(after.ignore) == len(weak.boxes) + len(weak.ignore)
        assert len(after.boxes) == len(after.labels) == len(after.weights)
        for x1, y1, x2, y2 in after.boxes.int().tolist():
            assert (after.pixels[y1:y2, x1:x2, 0] == 255).mean() >= MIN_VISIBLE - 0.01
        hidden += len(after.ignore) - len(weak.ignore)
    assert hidden > 0


def test_a_turned_object_lies_in_its_box():
    change = augmenter(rotate_deg=30.0)
    for seed in range(20):
        changed = change(item([(30, 16, 50, 30)]), seed)
        x1, y1, x2, y2 = changed.boxes[0].tolist()
        rows, columns = np.nonzero(changed.pixels[..., 0] > 200)
        assert columns.min() >= x1 - 1
        assert columns.max() <= x2
        assert rows.min() >= y1 - 1
        assert rows.max() <= y2


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_how_far_a_image_moves(shift):
    change = augmenter(shift=shift)
    moved = [change(item([(38, 22, 42, 26)]), seed).boxes[0, 0].item() - 38 for seed in range(40)]
    assert max(map(abs, moved)) <= shift * WIDTH + 0.5
    assert max(map(abs, moved)) >= shift * WIDTH * 0.6


def test_large_scale_jitter():
    """From a tenth to twice the size (arXiv 2012.07177)."""
    change = augmenter(scale_min=0.1, scale_max=2.0)
    sides = [
        (changed.boxes[0, 2] - changed.boxes[0, 0]).item()
        for changed in (change(item([(38, 22, 42, 26)]), seed) for seed in range(60))
        if len(changed.boxes)
    ]
    assert min(sides) < 1.2
    assert max(sides) > 7
