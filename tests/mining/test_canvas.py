from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.detector.inference.stream import FILL
from pipeline.mining.canvas import Tile, choose_side, draw_canvas, in_batches, pack_windows

CANVAS_PX = 64
SIZES = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), max_size=40)


def test_no_windows_need_no_canvas():
    assert pack_windows([], CANVAS_PX) == []


def occupied(tiles, sizes):
    """int[H, W]: how many windows claim each pixel of a canvas."""
    claims = np.zeros((300, 300), dtype=int)
    for tile in tiles:
        width, height = sizes[tile.index]
        claims[tile.y : tile.y + height, tile.x : tile.x + width] += 1
    return claims


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_every_window_lies_once_inside_a_canvas(sizes):
    canvases = pack_windows(sizes, CANVAS_PX)
    assert Counter(tile.index for tiles in canvases for tile in tiles) == Counter(range(len(sizes)))
    for tiles in canvases:
        assert occupied(tiles, sizes).max() == 1
        reach = max(max(tile.x + sizes[tile.index][0], tile.y + sizes[tile.index][1]) for tile in tiles)
        assert reach <= CANVAS_PX or len(tiles) == 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((40, 40), [[0, 1, 2]]),
        ((48, 64), [[0, 1, 2]]),
        ((60, 60), [[0], [1, 2]]),
        ((65, 5), [[0], [1, 2]]),
        ((5, 65), [[0], [1, 2]]),
        ((64, 64), [[0], [1, 2]]),
        ((200, 10), [[0], [1, 2]]),
    ],
    ids=["leaves room", "just leaves room", "no room", "too wide", "too high", "a whole host", "wider by far"],
)
def test_a_window_that_leaves_no_room_lies_alone(size, expected):
    canvases = pack_windows([size, (8, 8), (8, 8)], CANVAS_PX)
    assert sorted(sorted(tile.index for tile in tiles) for tiles in canvases) == expected


@pytest.mark.parametrize(
    ("sizes", "canvases"),
    [([(16, 16)] * 32, 2), ([(32, 64)] * 6, 3), ([(64, 16), (40, 16), (24, 16), (40, 32), (24, 32)], 1)],
    ids=["small", "high", "of many shapes"],
)
def test_canvases_are_filled_to_the_brim(sizes, canvases):
    assert len(pack_windows(sizes, CANVAS_PX)) == canvases


def test_many_windows_leave_little_empty():
    random = np.random.default_rng(0)
    sizes = [(int(width), int(height)) for width, height in random.integers(4, 20, (2000, 2))]
    filled = sum(width * height for width, height in sizes) / CANVAS_PX**2
    assert filled / len(pack_windows(sizes, CANVAS_PX)) > 0.9


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(96, 96)] * 900, 288), ([(40, 40)] * 4, 160), ([(200, 40), (40, 40)], 224), ([(320, 240)], 320)],
    ids=["a multiple of the windows", "few windows", "a long one", "a whole host"],
)
def test_canvases_have_the_side_that_leaves_least_empty(sizes, side):
    assert choose_side(sizes, 320) == side


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 320), st.integers(1, 320)), min_size=1, max_size=40))
def test_no_other_side_is_smaller_in_all(sizes):
    side = choose_side(sizes, 320)
    assert side % 32 == 0
    assert 160 <= side <= 400
    assert side**2 * len(pack_windows(sizes, side)) <= 320**2 * len(pack_windows(sizes, 320))


def test_packing_repeats_itself():
    sizes = [(10 + i % 7, 12 + i % 5) for i in range(50)]
    assert pack_windows(sizes, CANVAS_PX) == pack_windows(sizes, CANVAS_PX)


@settings(max_examples=30, deadline=None)
@given(SIZES.filter(len), st.integers(0, 9))
def test_windows_are_found_unchanged_at_their_place(sizes, seed):
    random = np.random.default_rng(seed)
    windows = [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in sizes]
    for tiles in pack_windows(sizes, CANVAS_PX):
        canvas = draw_canvas(tiles, windows)
        for tile in tiles:
            width, height = sizes[tile.index]
            np.testing.assert_array_equal(
                canvas[tile.y : tile.y + height, tile.x : tile.x + width], windows[tile.index]
            )
        between = occupied(tiles, sizes)[: canvas.shape[0], : canvas.shape[1]] == 0
        assert (canvas[between] == FILL).all()


def test_a_canvas_is_just_large_enough():
    windows = [np.zeros((5, 7, 3), dtype=np.uint8), np.zeros((3, 4, 3), dtype=np.uint8)]
    assert draw_canvas([Tile(0, 0, 0), Tile(1, 11, 9)], windows).shape == (12, 15, 3)


@pytest.mark.parametrize(
    ("count", "size", "lengths"), [(0, 4, []), (3, 4, [3]), (4, 4, [4]), (5, 4, [4, 1]), (2, 1, [1, 1])]
)
def test_batches(count, size, lengths):
    canvases = [[Tile(index, 0, 0)] for index in range(count)]
    batches = list(in_batches(canvases, size))
    assert [len(batch) for batch in batches] == lengths
    assert [canvas for batch in batches for canvas in batch] == canvases
