import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ImageFault
from pipeline.report.tiles import Mark, PlacedMark, encode, place, shrink, unreadable

GREY = np.full((60, 80, 3), 128, np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)


def _decoded(tile):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(tile.source.partition(",")[2]))))


@pytest.mark.parametrize(
    ("box", "view", "expected"),
    [
        ((0, 0, 320, 240), (0, 0, 320, 240), (0, 0, 100, 100)),
        ((32, 24, 64, 72), (0, 0, 320, 240), (10, 10, 10, 20)),
        ((32, 24, 64, 72), (32, 24, 96, 120), (0, 0, 50, 50)),
        ((-10, -10, 400, 300), (0, 0, 320, 240), (0, 0, 100, 100)),
        ((400, 300, 500, 400), (0, 0, 320, 240), (100, 100, 0, 0)),
    ],
)
def test_marks_are_placed_in_percent_of_the_view(box, view, expected):
    mark = Mark("ask", "bolt", "tip")
    assert place(mark, box, view) == PlacedMark(mark, *expected)


def test_a_tile_holds_the_image_and_names_its_marks():
    marks = [PlacedMark(Mark("ask", "bolt 0.97"), 0, 0, 10, 10), PlacedMark(Mark("ignore"), 0, 0, 10, 10)]
    tile = encode(GREY, "one.jpg", marks, "below")
    assert tile.source.startswith("data:image/jpeg;base64,")
    assert _decoded(tile).shape == GREY.shape
    assert (tile.width, tile.height) == (80, 60)
    assert (tile.alt, tile.caption) == ("one.jpg: bolt 0.97, ignore", "below")


def test_a_tile_without_marks_names_its_subject():
    assert encode(GREY, "one.jpg").alt == "one.jpg"


def test_a_lossless_tile_keeps_every_pixel():
    tile = encode(NOISE, "one.jpg", lossless=True)
    assert tile.source.startswith("data:image/webp;base64,")
    np.testing.assert_array_equal(_decoded(tile), NOISE)


@pytest.mark.parametrize(("longest", "size"), [(200, (60, 80)), (80, (60, 80)), (40, (30, 40))])
def test_images_are_shrunk_and_never_enlarged(longest, size):
    small = shrink(NOISE, longest)
    assert small.shape[:2] == size
    assert (small is NOISE) == (size == (60, 80))


def test_an_unreadable_tile_says_why():
    tile = unreadable("one.jpg", ImageFault("/one.jpg", "truncated"), "below")
    assert (tile.source, tile.missing, tile.alt, tile.caption) == ("", "truncated", "one.jpg: no image", "below")
