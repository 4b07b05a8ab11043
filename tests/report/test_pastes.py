import numpy as np
import pytest

from pipeline.errors import ImageFault
from pipeline.records import samples_to_table
from pipeline.report.pastes import paste_tiles, render_paste
from pipeline.report.tiles import Album
from tests.builders import image_id, sample


def _noise(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


SOURCE, HOST = _noise(60, 80, 0), _noise(50, 90, 1)


@pytest.mark.parametrize(
    ("proposal", "paste", "margin", "rows", "columns", "source_at"),
    [
        ((10, 20, 30, 40), (5, 6, 25, 26), 0.0, (6, 26), (5, 25), (20, 10)),
        ((10, 20, 30, 40), (25, 16, 45, 36), 0.25, (11, 41), (20, 50), (15, 5)),
        ((0, 0, 20, 20), (30, 10, 50, 30), 0.5, (10, 40), (30, 60), (0, 0)),
        ((10, 20, 30, 40), (-5, -6, 15, 14), 0.0, (0, 14), (0, 15), (26, 15)),
        ((10, 20, 30, 40), (80, 40, 100, 60), 0.0, (40, 50), (80, 90), (20, 10)),
    ],
    ids=["unscaled", "with margin", "margin ends at the source", "off the top left", "off the bottom right"],
)
def test_an_unscaled_paste_copies_pixels_and_leaves_the_rest(proposal, paste, margin, rows, columns, source_at):
    expected = HOST.copy()
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    top, left = source_at
    expected[slice(*rows), slice(*columns)] = SOURCE[top : top + height, left : left + width]
    before = HOST.copy()
    pasted = render_paste(SOURCE, proposal, HOST, paste, margin)
    np.testing.assert_array_equal(pasted, expected)
    np.testing.assert_array_equal(HOST, before)


def test_a_scaled_paste_fills_the_box():
    source = np.zeros((60, 80, 3), np.uint8)
    source[19:41, 9:31] = 200
    host = np.full((100, 100, 3), 90, np.uint8)
    pasted = render_paste(source, (10, 20, 30, 40), host, (20, 30, 60, 70), 0.0)
    assert (pasted[31:69, 21:59] == 200).all()
    outside = np.ones((100, 100), bool)
    outside[30:70, 20:60] = False
    assert (pasted[outside] == 90).all()


@pytest.mark.parametrize(
    ("proposal", "paste", "name"),
    [((5, 5, 5, 9), (0, 0, 9, 9), "proposal_box"), ((0, 0, 9, 9), (5, 9, 8, 5), "paste_box")],
)
def test_a_box_without_area_is_refused(proposal, paste, name):
    with pytest.raises(ValueError, match=f"Expected {name} with x1 < x2"):
        render_paste(SOURCE, proposal, HOST, paste, 0.0)


PROPOSAL = {"image_id": image_id("one"), "label": "bolt", "x1": 100.0, "y1": 80.0, "x2": 140.0, "y2": 120.0}


def _check(host, found=True, hit=True):
    corners = (11.0, 9.0, 52.0, 49.0) if found else (None,) * 4
    values = {"host_id": image_id(host), "margin": 0.25, "hit": hit, "score": 0.8 if found else 0.0, "iou": 0.9}
    paste = {"paste_x1": 10.0, "paste_y1": 10.0, "paste_x2": 50.0, "paste_y2": 50.0}
    return values | paste | dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True))


def _album(broken=()):
    def read(uri, longest_side_px):
        if any(name in uri for name in broken):
            raise ImageFault(uri, "truncated")
        return _noise(240, 320, len(uri))

    names = ("one", "two", "three")
    return Album(read, samples_to_table([sample(name) for name in names]), [image_id(name) for name in names])


@pytest.mark.parametrize(
    ("check", "caption", "kinds"),
    [
        (_check("two"), "found again: 0.800, IoU 0.900", ["paste", "found"]),
        (_check("two", hit=False), "found too loosely: 0.800, IoU 0.900", ["paste", "found"]),
        (_check("two", found=False, hit=False), "not found again", ["paste"]),
    ],
)
def test_each_paste_is_told_with_its_verdict(check, caption, kinds):
    source, host = paste_tiles(_album(), PROPOSAL, [check], 120)
    assert (source.caption, [mark.text for mark in source.marks]) == ("source", ["bolt"])
    assert (host.caption, [mark.kind for mark in host.marks]) == (caption, kinds)
    assert host.alt.startswith("host two.jpg")


def test_without_checks_there_is_only_the_source():
    assert len(paste_tiles(_album(), PROPOSAL, [], 120)) == 1


def test_tiles_show_the_surroundings_with_the_object_inside():
    source, host = paste_tiles(_album(), PROPOSAL, [_check("two")], 120)
    (mark,) = source.marks
    assert max(source.width, source.height) <= 120
    assert mark.width == pytest.approx(100 * 40 / 128, abs=0.5)
    assert mark.left + mark.width / 2 == pytest.approx(50, abs=1)
    assert host.marks[0].left == pytest.approx(100 * 10 / 128, abs=0.5)


@pytest.mark.parametrize(("broken", "missing"), [(("two",), ["", "truncated", ""]), (("one",), ["truncated"])])
def test_a_image_that_cannot_be_read_leaves_the_others(broken, missing):
    tiles = paste_tiles(_album(broken), PROPOSAL, [_check("two"), _check("three")], 120)
    assert [tile.missing for tile in tiles] == missing
