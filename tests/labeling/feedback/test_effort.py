from datetime import timedelta

import pytest

from pipeline.artefacts import TimedAnswer, TimedAnswers
from pipeline.labeling.feedback.effort import hours_spent, time_saved, timed_answers
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
    assert timed_answers(answers, {"7": answers[-1]}) == TimedAnswers((TimedAnswer(8.0, 4),), (TimedAnswer(9.0, 2),))
    assert timed_answers([], {}) == TimedAnswers()


def timed(with_boxes=(), without_boxes=()):
    return TimedAnswers(*(tuple(TimedAnswer(*pair) for pair in pairs) for pairs in (with_boxes, without_boxes)))


def test_nothing_is_said_of_hours_saved_before_there_is_enough_to_compare():
    saved = time_saved(TimedAnswers(), timed([(8.0, 4)] * 10, [(9.0, 2)] * 9))
    assert saved.hours is None
    assert saved.missing == "expected 10 timed answers of each kind, got 9 without boxes"
    assert time_saved(TimedAnswers(), TimedAnswers()).missing.endswith("got 0 with boxes and 0 without boxes")


def test_hours_saved_are_the_difference_of_medians_for_boxes_shown_now():
    shown, blind = [(8.0, 4)] * 10 + [(1000.0, 1)], [(10.0, 2)] * 10
    saved = time_saved(timed([(8.0, 1200), (99.0, 1200)], [(5.0, 99)]), timed(shown, blind))
    assert (saved.seconds_with, saved.seconds_without) == (2.0, 5.0)
    assert saved.hours == pytest.approx(3.0 * 2400 / 3600)
    assert time_saved(timed([(8.0, 1200)]), timed(blind, shown)).hours == pytest.approx(-1.0)
