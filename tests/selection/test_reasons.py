from __future__ import annotations

import pytest

from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.selection.reasons import Context, in_words, reasons
from pipeline.selection.showing import shown_boxes
from tests.selection.evidence import selection_of

SIZE = (300, 300)


def unseen(**per_image):
    """As many misses of each class in every image, whatever is proposed."""
    nothing = (0.0,) * 4
    return MissedObjectsModel(tuple(per_image), tuple(per_image.values()), nothing, (1.0,) * 4, nothing, 0.0)


def at(x, y, p_correct=0.5, label="nut", **values):
    """A box of 20 by 20 pixels round a place, never pasted."""
    corners = {"x1": x - 10.0, "y1": y - 10.0, "x2": x + 10.0, "y2": y + 10.0}
    return {**corners, "p_correct": p_correct, "label": label, "checks": 0, **values}


def reason_of(*rows, missed=None, drawn=None, sizes=None):
    context = Context(missed, {"i0": SIZE} if sizes is None else sizes, drawn or {})
    return reasons(selection_of(*rows), ["i0"], 0.3, context)["i0"]


PASTED = {"checks": 4, "hit_fraction": 0.25}
FAINT = [at(20 + 30 * n, 280, 0.25) for n in range(8)]


@pytest.mark.parametrize(
    ("rows", "options", "reason"),
    [
        ([], {}, "nothing found here: is there anything?"),
        ([], {"missed": unseen(nut=3.2)}, "no box shown, about 3 nuts to draw"),
        ([], {"missed": unseen(nut=0.6)}, "no box shown, about 1 nut to draw"),
        ([], {"missed": unseen(nut=2.0, bolt=2.0)}, "no box shown, about 4 objects to draw"),
        ([at(50, 50)], {}, "really a nut?"),
        ([at(50, 50, label="egg")], {}, "really an egg?"),
        ([at(50, 50, **PASTED)], {}, "really a nut? found again in 1 of 4 images"),
        ([at(50, 50, checks=1, hit_fraction=1.0)], {}, "really a nut? found again in 1 of 1 image"),
        (
            [at(50, 50, **PASTED), at(51, 50, 0.2, "washer")],
            {},
            "nut or washer? found again as nut in 1 of 4 images",
        ),
        ([at(50, 50, 0.9, x2=100.0), at(50, 50, 0.5)], {}, "one nut or two?"),
        ([at(150, 20), *FAINT[:3], at(30, 250, 0.25)], {}, "1 nut may be missed, lower left; really a nut?"),
        ([at(150, 20), *FAINT], {}, "2 nuts may be missed; really a nut?"),
        ([at(150, 20), *FAINT[:3], at(30, 250, 0.25)], {"sizes": {}}, "1 nut may be missed; really a nut?"),
        ([at(150, 20)], {"missed": unseen(inch=3.0)}, "3 inches may be missed; really a nut?"),
        ([at(20 + 30 * n, 20) for n in range(6)], {"missed": unseen(nut=1.0)}, "really a nut?; 1 nut may be missed"),
        ([at(50, 50)], {"drawn": {"nut": 0, "bolt": 9}}, "perhaps the first nut; really a nut?"),
        ([at(50, 50, 0.1)], {"drawn": {"nut": 0}}, "nothing found here: is there anything?"),
        ([at(50, 50)], {"drawn": {"nut": 1}}, "really a nut?"),
    ],
)
def test_the_most_telling_thing_comes_first(rows, options, reason):
    assert reason_of(*rows, **options) == reason


@pytest.mark.parametrize(
    ("x", "y", "part"),
    [
        (20, 20, "upper left"),
        (150, 20, "upper"),
        (20, 150, "left"),
        (150, 150, "centre"),
        (280, 150, "right"),
        (280, 280, "lower right"),
    ],
)
def test_the_part_of_the_image_is_named(x, y, part):
    faint = [at(x, y, 0.29), at(x + (12 if x < 250 else -12), y, 0.29)]
    assert reason_of(at(85, 85, 0.99), *faint).startswith(f"1 nut may be missed, {part}")


def test_only_images_that_are_asked_about_have_a_reason():
    selection = selection_of(at(50, 50), at(50, 50, image_id="other"))
    assert reasons(selection, ["i0"], 0.3, Context()).keys() == {"i0"}
    assert reasons(selection, [], 0.3, Context()) == {}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([at(50, 50), at(51, 50, 0.2, "washer")], "perhaps a washer"),
        ([at(50, 50, 0.9, x2=100.0), at(50, 50, 0.5)], "perhaps a duplicate"),
        ([at(50, 50, **PASTED)], "found again in 1 of 4 images"),
        ([at(50, 50, 0.4)], "perhaps not a nut"),
        ([at(50, 50, 0.6)], "perhaps not quite in place"),
        ([at(50, 50, 0.6, checks=4, hit_fraction=1.0)], "perhaps not quite in place"),
    ],
)
def test_an_unsure_box_says_what_may_be_wrong_with_it(rows, words):
    (boxes,) = shown_boxes(selection_of(*rows), 0.3).values()
    assert in_words(boxes[0]) == words
