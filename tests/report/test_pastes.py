import numpy as np
import pytest

from pipeline.errors import ImageFault
from pipeline.records import samples_to_table
from pipeline.report.album import Album
from pipeline.report.pastes import PasteTiles, SharedPaste
from pipeline.report.rows import Check
from pipeline.settings import MiningSettings
from tests.builders import image_id, sample

BOX = (100.0, 80.0, 140.0, 120.0)
PASTED = (40.0, 60.0, 80.0, 100.0)
INPUT_PX = 160
"""Half of the images' own size."""


def _check(host, hit=True, pasted=PASTED):
    redetection = (41.0, 59.0, 82.0, 99.0) if hit else (None,) * 4
    score, iou = (0.8, 0.9) if hit else (0.0, 0.0)
    return Check("p", 0, "p", image_id(host), *pasted, 0.25, 1.0, hit, score, iou, *redetection)


def _tiles(*checks, broken=(), tile_px=120):
    def read(uri, longest_side_px):
        if any(name in uri for name in broken):
            raise ImageFault(uri, "truncated")
        assert longest_side_px == INPUT_PX
        return np.random.default_rng(len(uri)).integers(0, 256, (120, 160, 3)).astype(np.uint8)

    names = ("one", "two", "three")
    album = Album(read, samples_to_table([sample(name) for name in names]), [image_id(name) for name in names])
    pastes = [SharedPaste(check, check, BOX) for check in checks]
    return PasteTiles(album, MiningSettings(), INPUT_PX, tile_px).tiles(image_id("one"), "bolt", BOX, pastes)


@pytest.mark.parametrize(
    ("check", "caption", "kinds"),
    [
        (_check("two"), "found again: 0.800, IoU 0.900", ["paste", "redetection"]),
        (_check("two", hit=False), "not found again", ["paste"]),
    ],
)
def test_each_paste_says_whether_it_was_found_again(check, caption, kinds):
    source, host = _tiles(check)
    assert (source.caption, [box.mark.text for box in source.marks]) == ("source", ["bolt"])
    assert (host.caption, [box.mark.kind for box in host.marks]) == (caption, kinds)
    assert host.alt.startswith("host two.jpg")


def test_without_checks_there_is_only_the_source():
    assert len(_tiles()) == 1


def test_the_source_shows_the_surroundings_with_the_object_in_the_middle():
    (source,) = _tiles()
    (box,) = source.marks
    assert source.width == source.height == 64, "3.2 times the object, in input pixels"
    assert box.width == pytest.approx(100 * 20 / 64, abs=0.1)
    assert box.left + box.width / 2 == pytest.approx(50, abs=0.1)


def test_a_paste_shows_its_window_with_the_object_where_it_was_put():
    host = _tiles(_check("two"))[1]
    # The object has 20 px at the input size, its crop 30, and with the host's context the window has its least size.
    assert (host.width, host.height) == (48, 48)
    pasted, redetection = host.marks
    assert (pasted.left, pasted.top) == (pytest.approx(100 * 14 / 48, abs=0.01),) * 2
    assert pasted.width == pytest.approx(100 * 20 / 48, abs=0.01)
    assert redetection.left - pasted.left == pytest.approx(100 * 0.5 / 48, abs=0.01)


def test_a_window_that_is_too_large_is_shrunk():
    whole, shrunk = _tiles(_check("two"))[1], _tiles(_check("two"), tile_px=40)[1]
    assert max(shrunk.width, shrunk.height) == 40
    assert [box.left for box in shrunk.marks] == [box.left for box in whole.marks]
    assert whole.source.startswith("data:image/webp;"), "pixels as they are"
    assert shrunk.source.startswith("data:image/jpeg;")


@pytest.mark.parametrize(("broken", "missing"), [(("two",), ["", "truncated", ""]), (("one",), ["truncated"])])
def test_an_image_that_cannot_be_read_leaves_the_others(broken, missing):
    tiles = _tiles(_check("two"), _check("three"), broken=broken)
    assert [tile.missing for tile in tiles] == missing


def test_a_paste_that_does_not_fit_its_host_says_so():
    beyond = _tiles(_check("two", pasted=(290.0, 60.0, 330.0, 100.0)))[1]
    assert "its file was replaced after it was mined" in beyond.missing
    assert beyond.source == ""
