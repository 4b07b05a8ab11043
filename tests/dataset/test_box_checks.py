import math
from datetime import UTC, datetime

import pytest

from pipeline.dataset.box_checks import CheckedBoxes, check_boxes
from pipeline.dataset.formats.entry import Entry, EntryBox
from pipeline.dataset.images import ImageFacts
from pipeline.records import Region, Source, make_box_id

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def facts(orientation=1):
    width, height = (40, 30) if orientation < 5 else (30, 40)
    return ImageFacts("f" * 64, width, height, 40, 30, orientation, "0" * 64)


def entry(*boxes, ignore="", **fields):
    listed = tuple(EntryBox(*corners, "bolt", f"line {number}", ignore) for number, corners in enumerate(boxes, 1))
    return Entry("/a.jpg", listed, **fields)


def check(given, of=None, min_box_px=1.0):
    return check_boxes(given, of or facts(), min_box_px, NOW)


def xyxy(checked):
    return [box.xyxy for box in checked.boxes]


def test_no_boxes_are_fine():
    assert check(entry()) == CheckedBoxes()


def test_a_good_box_is_imported():
    (box,) = check(entry((1, 2, 10, 20))).boxes
    assert box.xyxy == (1, 2, 10, 20)
    assert (box.label, box.source, box.created_at) == ("bolt", Source.IMPORT, NOW)
    assert box.box_id == make_box_id("f" * 64, "bolt", (1, 2, 10, 20), "import")
    assert (box.score, box.model_id, box.annotator) == (None, None, None)


def test_numbers_are_those_that_the_table_can_hold():
    (box,) = check(entry((0.1, 0.2, 10.3, 20.7))).boxes
    assert box.x1 == pytest.approx(0.1, abs=1e-6)
    assert box.x1 != 0.1


def test_shares_are_of_the_displayed_image():
    assert xyxy(check(entry((0, 0.25, 0.5, 1), relative=True), facts(6))) == [(0, 10, 15, 40)]


@pytest.mark.parametrize(
    ("stated", "orientation", "expected", "turned"),
    [
        ((None, None), 1, (1, 2, 5, 4), False),
        ((40, 30), 1, (1, 2, 5, 4), False),
        ((40, 30), 3, (1, 2, 5, 4), False),
        ((None, None), 6, (1, 2, 5, 4), False),
        ((30, 40), 6, (1, 2, 5, 4), False),
        ((40, 30), 6, (26, 1, 28, 5), True),
        ((40, 30), 8, (2, 35, 4, 39), True),
        ((40, None), 6, (26, 1, 28, 5), True),
    ],
)
def test_boxes_are_turned_where_the_stated_size_shows_it(stated, orientation, expected, turned):
    checked = check(entry((1, 2, 5, 4), width=stated[0], height=stated[1]), facts(orientation))
    assert xyxy(checked) == [expected]
    assert [problem for problem, _ in checked.repairs] == (["converted"] if turned else [])


@pytest.mark.parametrize("stated", [(80, 60), (30, 40), (40, 31), (41, None)])
def test_another_size_is_a_fault(stated):
    checked = check(entry((1, 2, 5, 4), width=stated[0], height=stated[1]))
    assert checked.boxes == ()
    ((problem, detail),) = checked.faults
    assert problem == "size_mismatch"
    assert detail.endswith("pixels, the image has 40 x 30")


@pytest.mark.parametrize(
    ("corners", "expected", "said"),
    [
        ((-3, 2, 10, 20), (0, 2, 10, 20), True),
        ((30, 20, 45, 33), (30, 20, 40, 30), True),
        ((-5, -5, 50, 50), (0, 0, 40, 30), True),
        ((-0.04, 0, 40.04, 30), (0, 0, 40, 30), False),
        ((-0.06, 0, 40, 30), (0, 0, 40, 30), True),
    ],
)
def test_a_box_partly_outside_is_cut(corners, expected, said):
    checked = check(entry((5, 5, 9, 9), corners))
    assert xyxy(checked)[1] == expected
    assert [problem for problem, _ in checked.repairs] == (["box_clipped"] if said else [])
    assert all("line 2 (bolt)" in detail and "40 x 30" in detail for _, detail in checked.repairs)


@pytest.mark.parametrize(
    ("corners", "problem", "words"),
    [
        ((math.nan, 2, 5, 4), "box_invalid", "not a finite number"),
        ((1, 2, math.inf, 4), "box_invalid", "not a finite number"),
        ((-math.inf, 2, 5, 4), "box_invalid", "not a finite number"),
        ((1e300, 2, 5, 4), "box_invalid", "not a finite number"),
        ((5, 2, 1, 4), "box_invalid", "inverted"),
        ((1, 4, 5, 2), "box_invalid", "inverted"),
        ((41, 2, 50, 4), "box_outside", "lies outside the image of 40 x 30 pixels"),
        ((1, -9, 5, -2), "box_outside", "lies outside"),
        ((40, 2, 50, 4), "box_outside", "lies outside"),
        ((41, 2, 41, 4), "box_outside", "lies outside"),
    ],
)
def test_a_box_that_cannot_be_used_is_named(corners, problem, words):
    checked = check(entry((5, 5, 9, 9), corners))
    ((found, detail),) = checked.faults
    assert found == problem
    assert detail.startswith("line 2 (bolt) at (")
    assert words in detail
    assert checked.boxes == ()
    assert checked.repairs == ()


@pytest.mark.parametrize(
    ("corners", "covered"),
    [
        ((1, 2, 1, 4), "0 x 2"),
        ((1, 2, 1, 2), "0 x 0"),
        ((1, 2, 1.5, 9), "0.5 x 7"),
        ((39.5, 2, 60, 9), "0.5 x 7"),
    ],
)
@pytest.mark.parametrize("ignore", ["", "crowd"])
def test_a_slip_of_the_mouse_is_left_out_and_the_other_boxes_stay(corners, covered, ignore):
    checked = check(entry((5, 5, 9, 9), corners, (6, 6, 12, 12), ignore=ignore))
    kept = checked.ignore if ignore else checked.boxes
    assert [one.xyxy for one in kept] == [(5, 5, 9, 9), (6, 6, 12, 12)]
    assert checked.faults == ()
    ((problem, detail),) = checked.repairs
    assert problem == "box_too_small"
    assert detail.startswith("line 2 (bolt) at (")
    assert f"covers {covered} pixels of the image and was left out" in detail


@pytest.mark.parametrize("min_box_px", [0.0, 1.0, 3.0])
def test_the_smallest_box_allowed(min_box_px):
    side = max(min_box_px, 0.01)
    assert len(check(entry((1.1, 2.3, 1.1 + side, 9)), min_box_px=min_box_px).boxes) == 1


def test_a_repeated_box_is_kept_once():
    checked = check(entry((1, 2, 5, 4), (6, 6, 9, 9), (1, 2, 5, 4)))
    assert xyxy(checked) == [(1, 2, 5, 4), (6, 6, 9, 9)]
    ((problem, detail),) = checked.repairs
    assert problem == "box_repeated"
    assert detail.startswith("line 3 (bolt)")


def test_boxes_to_ignore_become_regions_once():
    checked = check(entry((1, 2, 5, 4), (1, 2, 5, 4), (-2, 0, 9, 9), ignore="crowd"))
    assert checked.boxes == ()
    assert checked.ignore == (Region(1, 2, 5, 4, "crowd"), Region(0, 0, 9, 9, "crowd"))
