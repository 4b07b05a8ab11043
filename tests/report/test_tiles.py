import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ImageFault
from pipeline.records import SAMPLE_SCHEMA, samples_to_table
from pipeline.report.tiles import Album, Mark, image, laid, unreadable
from tests.builders import image_id, sample

GREY = np.full((60, 80, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("corners", "view", "expected"),
    [
        ((0, 0, 320, 240), (0, 0, 320, 240), (0, 0, 100, 100)),
        ((32, 24, 64, 72), (0, 0, 320, 240), (10, 10, 10, 20)),
        ((32, 24, 64, 72), (32, 24, 96, 120), (0, 0, 50, 50)),
        ((-10, -10, 400, 300), (0, 0, 320, 240), (0, 0, 100, 100)),
        ((400, 300, 500, 400), (0, 0, 320, 240), (100, 100, 0, 0)),
    ],
)
def test_marks_are_laid_in_percent_of_the_view(corners, view, expected):
    mark = laid(Mark("ask", 0, 0, 0, 0, "bolt", "tip"), corners, view)
    assert (mark.left, mark.top, mark.width, mark.height) == expected
    assert (mark.kind, mark.text, mark.tip) == ("ask", "bolt", "tip")


def test_a_tile_holds_the_image_and_names_its_marks():
    tile = image(GREY, "one.jpg", [Mark("ask", 0, 0, 0, 0, "bolt 0.97"), Mark("ignore", 0, 0, 0, 0)], "below")
    data = base64.b64decode(tile.source.removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(data)).size == (tile.width, tile.height) == (80, 60)
    assert (tile.alt, tile.caption) == ("one.jpg: bolt 0.97, ignore", "below")


def test_a_tile_without_marks_names_its_subject():
    assert image(GREY, "one.jpg", []).alt == "one.jpg"


def test_an_unreadable_tile_says_why():
    tile = unreadable("one.jpg", ImageFault("/one.jpg", "truncated"))
    assert (tile.source, tile.missing, tile.alt) == ("", "truncated", "one.jpg: no image")


def test_an_album_reads_only_what_it_was_opened_for():
    table = samples_to_table([sample("one"), sample("two")])
    asked = []

    def read(uri, longest_side_px):
        asked.append((uri, longest_side_px))
        return GREY

    album = Album(read, table, [image_id("one")])
    tile = album.tile(image_id("one"), 80, [((32, 24, 64, 72), Mark("ask", 0, 0, 0, 0))])
    assert asked == [("/images/one.jpg", 80)]
    assert (tile.marks[0].left, tile.marks[0].height) == (10, 20)
    assert album.size(image_id("one")) == (320, 240)
    assert "no row in the sample table" in album.tile(image_id("two"), 80).missing


def _raise(fault):
    raise fault


@pytest.mark.parametrize(
    ("row", "fault", "why"),
    [
        (None, None, "no row in the sample table"),
        ({"width": 0, "height": 0}, None, "size is not known"),
        ({}, ImageFault("/images/one.jpg", "truncated after 40 %"), "truncated after 40 %"),
        ({}, FileNotFoundError("no such file"), "no such file"),
    ],
)
def test_a_image_that_cannot_be_read_becomes_a_tile_that_says_why(row, fault, why):
    table = SAMPLE_SCHEMA.empty_table() if row is None else samples_to_table([sample("one", **row)])
    album = Album(lambda *_: _raise(fault), table, [image_id("one")])
    tile = album.tile(image_id("one"), 80, [((0, 0, 9, 9), Mark("ask", 0, 0, 0, 0))])
    assert why in tile.missing
    assert (tile.source, tile.marks) == ("", ())


def test_a_fault_of_the_program_is_not_hidden():
    album = Album(lambda *_: _raise(TypeError("a bug")), samples_to_table([sample("one")]), [image_id("one")])
    with pytest.raises(TypeError, match="a bug"):
        album.tile(image_id("one"), 80)
