import numpy as np
import pytest

from pipeline.errors import ImageFault
from pipeline.records import SAMPLE_SCHEMA, Region, samples_to_table
from pipeline.report.album import Album
from pipeline.report.tiles import Mark
from tests.builders import image_id, sample

GREY = np.full((60, 80, 3), 128, np.uint8)


def test_an_album_reads_only_what_it_was_opened_for():
    table = samples_to_table([sample("one"), sample("two")])
    asked = []

    def read(uri, longest_side_px):
        asked.append((uri, longest_side_px))
        return GREY

    album = Album(read, table, [image_id("one")])
    tile = album.tile(image_id("one"), 80, [((32, 24, 64, 72), Mark("ask"))])
    assert asked == [("/images/one.jpg", 80)]
    assert (tile.marks[0].left, tile.marks[0].height) == (10, 20)
    assert album.ref(image_id("one")) == (image_id("one"), "/images/one.jpg", 320, 240)
    assert "no row in the sample table" in album.tile(image_id("two"), 80).missing
    assert len(asked) == 1


def test_ignore_regions_come_with_their_image():
    region = Region(1.0, 2.0, 3.0, 4.0, "crowd")
    album = Album(lambda *_: GREY, samples_to_table([sample("one", ignore=(region,))]), [image_id("one")])
    assert album.ignored(image_id("one")) == (region,)
    assert album.ignored("nowhere") == ()
    assert album.uri("nowhere") == "nowhere"


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
def test_an_image_that_cannot_be_read_becomes_a_tile_that_says_why(row, fault, why):
    table = SAMPLE_SCHEMA.empty_table() if row is None else samples_to_table([sample("one", **row)])
    album = Album(lambda *_: _raise(fault), table, [image_id("one")])
    tile = album.tile(image_id("one"), 80, [((0, 0, 9, 9), Mark("ask"))])
    assert why in tile.missing
    assert (tile.source, tile.marks) == ("", ())


def test_a_fault_of_the_program_is_not_hidden():
    album = Album(lambda *_: _raise(TypeError("a bug")), samples_to_table([sample("one")]), [image_id("one")])
    with pytest.raises(TypeError, match="a bug"):
        album.tile(image_id("one"), 80)
