from __future__ import annotations

import pytest

from pipeline.artefacts import PricedAnswers
from pipeline.labeling.feedback.prices import price, seconds_of
from pipeline.records import Answer, Source
from pipeline.settings import SecondsSettings
from tests.builders import MOMENT, box, image_id

SECONDS = SecondsSettings(look=100, draw=70, adjust=50, relabel=30, delete=20, verify=10)
KEPT, MOVED, DRAWN = (lambda label, source=source: box(label=label, source=source) for source in
                      (Source.ACCEPTED, Source.CORRECTED, Source.HUMAN))  # fmt: skip


def answer(boxes=(), verdicts=(), number="1", **fields):
    return Answer(
        image_id("one"), number, "ann", fields.pop("skipped", False), tuple(boxes), MOMENT, MOMENT,
        verdicts=tuple(verdicts), **fields,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("boxes", "verdicts", "expected"),
    [
        ([], [], 100),
        ([DRAWN("nut"), DRAWN("bolt")], [], 240),
        ([KEPT("nut")], [("nut", "accepted")], 110),
        ([MOVED("nut")], [("nut", "corrected")], 150),
        ([MOVED("bolt")], [("nut", "corrected")], 130),
        ([MOVED("bolt"), MOVED("nut")], [("nut", "corrected")] * 2, 180),
        ([], [("nut", "deleted")], 120),
        (
            [KEPT("nut"), MOVED("nut"), DRAWN("bolt")],
            [("nut", "accepted"), ("nut", "corrected"), ("nut", "deleted")],
            250,
        ),
    ],
    ids=["empty", "drawn", "verified", "moved", "relabelled", "one moved, one relabelled", "deleted", "all of it"],
)
def test_every_action_has_its_price(boxes, verdicts, expected):
    assert seconds_of(answer(boxes, verdicts), SECONDS) == expected


def test_answers_with_boxes_are_priced_beside_drawing_all_of_it():
    shown = answer([KEPT("nut"), DRAWN("nut")], [("nut", "accepted"), ("nut", "deleted")])
    blind = answer([DRAWN("nut")], number="2")
    changed = answer([KEPT("nut")], [("nut", "accepted")], number="3")
    assert price([shown, blind, changed], {"3": changed}, SECONDS) == PricedAnswers(1, 200, 240)
    assert price([], {}, SECONDS) == PricedAnswers()


@pytest.mark.parametrize(("verdicts", "cost"), [([], False), ([("nut", "deleted")], True)])
def test_boxes_that_are_all_wrong_cost_time(verdicts, cost):
    assert price([answer([DRAWN("nut")], verdicts)], {}, SECONDS).boxes_cost_time is cost


def test_a_box_that_is_verified_has_one_price_whatever_is_said_of_it():
    verdicts = [("nut", "accepted"), ("nut", "corrected"), ("bolt", "deleted")]
    assert seconds_of(answer([KEPT("nut"), DRAWN("bolt")], verdicts, verified=True), SECONDS) == 100 + 30 + 70
