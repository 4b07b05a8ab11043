from datetime import timedelta

import pytest

from pipeline.labeling.feedback.effort import WITH, WITHOUT, add_seconds, hours_saved, hours_spent, seconds_and_boxes
from pipeline.records import Answer
from tests.builders import MOMENT, box, image_id


def answer(number, seconds, boxes=2, shown=1, **fields):
    values = {"skipped": False, "cycle": 0, "verdicts": (("bolt", "accepted"),) * shown, **fields}
    drawn = tuple(box(x1=float(place)) for place in range(boxes))
    return Answer(
        image_id(str(number)), str(number), "ann", boxes=drawn, created_at=MOMENT,
        updated_at=MOMENT + timedelta(seconds=number), lead_time_s=seconds, **values,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "known", "hours"),
    [
        ([], [], None),
        ([answer(1, None)], [], None),
        ([answer(1, 1800.0), answer(2, None), answer(3, 5400.0, skipped=True)], [], 2.0),
        ([answer(1, 5400.0)], [answer(1, 1800.0)], 1.0),
        ([answer(1, 900.0)], [answer(1, 1800.0)], 0.0),
        ([answer(1, 1800.0)], [answer(1, None)], 0.5),
    ],
)
def test_hours_spent_are_counted_once(answers, known, hours):
    assert hours_spent(answers, {one.annotation_id: one for one in known}) == hours


def test_what_can_be_compared():
    answers = [
        answer(1, 8.0, boxes=4),
        answer(2, 9.0, shown=0),
        answer(3, 9.0, boxes=0),
        answer(4, None),
        answer(5, 9.0, skipped=True),
        answer(6, 9.0, cycle=None),
        answer(7, 9.0),
    ]
    assert seconds_and_boxes(answers, {"7": answers[-1]}) == {WITH: [[8.0, 4]], WITHOUT: [[9.0, 2]]}
    assert add_seconds([]) == add_seconds([{}]) == {WITH: [], WITHOUT: []}


def test_nothing_is_said_of_hours_saved_before_there_is_enough_to_compare():
    told = hours_saved(add_seconds([]), {WITH: [[8.0, 4]] * 10, WITHOUT: [[9.0, 2]] * 9})
    assert told["hours"] is None
    assert told["missing"] == "expected 10 timed answers of each kind, got 9 without boxes"
    assert hours_saved(add_seconds([]), add_seconds([]))["missing"].endswith("got 0 with boxes and 0 without boxes")


def test_hours_saved_are_the_difference_of_medians_for_boxes_shown_now():
    ever = {WITH: [[8.0, 4]] * 10 + [[1000.0, 1]], WITHOUT: [[10.0, 2]] * 10}
    told = hours_saved({WITH: [[8.0, 1200], [99.0, 1200]], WITHOUT: [[5.0, 99]]}, ever)
    assert told["seconds_a_box"] == {WITH: 2.0, WITHOUT: 5.0}
    assert told["hours"] == pytest.approx(3.0 * 2400 / 3600)
    slower = hours_saved({WITH: [[8.0, 1200]]}, {WITH: ever[WITHOUT], WITHOUT: ever[WITH]})
    assert slower["hours"] == pytest.approx(-1.0)
