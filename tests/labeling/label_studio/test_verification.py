"""What comes back of a task that verifies boxes one after another."""

from xml.etree import ElementTree as Xml

import pytest

from pipeline.labeling.label_studio.answers import Reader
from pipeline.labeling.label_studio.page import label_config
from pipeline.labeling.label_studio.payload import task_payload
from pipeline.labeling.label_studio.prediction_check import prediction_checker
from pipeline.records import TaskKind
from tests.builders import box, task

READER = Reader(frozenset({"bolt", "nut"}), accepted_iou=0.9, people={})
BOLT = box(32, 24, 96, 96, score=0.6, p_correct=0.9, proposal_id="p.000")
NUT = box(160, 120, 240, 200, "nut", score=0.3, proposal_id="p.001")
WHOLE = ("unanswered", (0, 0, 320, 240))
TIMES = {"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-03T03:04:05Z"}


def sent(kind=TaskKind.VERIFY):
    return task_payload(task("one", BOLT, NUT, kind=kind), "/a.jpg")


def rectangle(place, **value):
    known = sent()["predictions"][0]["result"][place]
    return {**known, "value": {**known["value"], **value}}


def chosen(control, choice, place=None):
    region = rectangle(place)["id"] if place is not None else "whole"
    return {"id": region, "type": "choices", "from_name": control, "value": {"choices": [choice]}}


SEEN = [chosen("seen", "looked at", 0), chosen("seen", "looked at", 1)]
COMPLETE = chosen("whole", "nothing is missing")


def answered(*result, kind=TaskKind.VERIFY):
    (reading,) = READER.read({"id": 17, **sent(kind), "annotations": [{"id": 5, "result": list(result), **TIMES}]})
    assert reading.notes == ()
    return reading.answer


def ignored(answer):
    return [(region.reason, region.xyxy) for region in answer.ignore]


def test_nothing_said_leaves_everything_open():
    answer = answered(rectangle(0), rectangle(1))
    assert answer.boxes == answer.verdicts == answer.deleted == ()
    assert ignored(answer) == [("unanswered", BOLT.xyxy), ("unanswered", NUT.xyxy), WHOLE]
    assert answer.verified


def test_boxes_that_were_looked_at_are_right_and_the_image_is_whole_where_somebody_says_so():
    answer = answered(rectangle(0), rectangle(1), *SEEN, COMPLETE)
    assert [(b.label, str(b.source), b.proposal_id) for b in answer.boxes] == [
        ("bolt", "accepted", "p.000"),
        ("nut", "accepted", "p.001"),
    ]
    assert answer.ignore == ()
    assert answer.verdicts == (("bolt", "accepted"), ("nut", "accepted"))


@pytest.mark.parametrize("said", [[], [chosen("whole", "something is missing")]])
def test_right_boxes_alone_do_not_make_an_image_whole(said):
    answer = answered(rectangle(0), rectangle(1), *SEEN, *said)
    assert len(answer.boxes) == 2
    assert ignored(answer) == [WHOLE]


def test_a_wrong_box_is_deleted():
    answer = answered(rectangle(0), rectangle(1), *SEEN, chosen("fault", "wrong", 1), COMPLETE)
    assert [b.label for b in answer.boxes] == ["bolt"]
    assert [b.proposal_id for b in answer.deleted] == ["p.001"]
    assert (answer.ignore, answer.verdicts[1]) == ((), ("nut", "deleted"))
    assert answer == answered(rectangle(0), *SEEN, COMPLETE)  # as if it had been deleted by hand


@pytest.mark.parametrize(("fault", "reason"), [("inexact", "inexact"), ("another class", "another_class")])
def test_a_box_that_is_left_open_is_ignored_and_counts_as_corrected(fault, reason):
    answer = answered(rectangle(0), rectangle(1), *SEEN, chosen("fault", fault, 1), COMPLETE)
    assert [b.label for b in answer.boxes] == ["bolt"]
    assert ignored(answer) == [(reason, NUT.xyxy)]
    assert (answer.deleted, answer.verdicts[1]) == ((), ("nut", "corrected"))


@pytest.mark.parametrize(
    ("change", "said", "label"),
    [
        ({"rectanglelabels": ["bolt"]}, [], "bolt"),
        ({"rectanglelabels": ["bolt"]}, [chosen("fault", "another class", 1)], "bolt"),
        ({"x": 58.0}, [chosen("fault", "inexact", 1)], "nut"),
    ],
)
def test_a_box_that_was_put_right_is_answered_whatever_else_is_said(change, said, label):
    answer = answered(rectangle(0), rectangle(1, **change), SEEN[0], *said, COMPLETE)
    assert [(b.label, str(b.source)) for b in answer.boxes] == [("bolt", "accepted"), (label, "corrected")]
    assert answer.ignore == ()


def test_what_is_drawn_beside_counts():
    drawn = {**rectangle(0, x=60.0), "id": "drawn"}
    answer = answered(rectangle(0), rectangle(1), drawn, *SEEN, COMPLETE)
    assert [str(b.source) for b in answer.boxes] == ["accepted", "accepted", "human"]


def test_choices_on_a_task_that_corrects_say_nothing():
    answer = answered(rectangle(0), rectangle(1), *SEEN, chosen("fault", "wrong", 1), kind=TaskKind.ASK)
    assert answer == answered(rectangle(0), rectangle(1), kind=TaskKind.ASK)
    assert (len(answer.boxes), answer.ignore, answer.verified) == (2, (), False)


@pytest.mark.parametrize("value", [None, {}, {"choices": []}, {"choices": "wrong"}])
def test_a_broken_choice_is_none(value):
    answer = answered(rectangle(0), rectangle(1), *SEEN, {**chosen("fault", "wrong", 1), "value": value}, COMPLETE)
    assert len(answer.boxes) == 2


def test_the_page_asks_only_where_boxes_are_verified():
    check = prediction_checker(label_config(("bolt", "nut")))
    for kind in TaskKind:
        payload = sent(kind)
        assert check(payload["predictions"][0]) == []
        keys = [choice["hotkey"] for name in ("seen", "fault", "whole") for choice in payload["data"][f"verify_{name}"]]
        assert keys == (["alt+.", "x", "i", "c", "n", "m"] if kind is TaskKind.VERIFY else [])


def test_choices_about_boxes_are_for_one_region_each():
    controls = {tag.get("name"): tag for tag in Xml.fromstring(label_config(("bolt",))).iter("Choices")}
    assert {name: tag.get("perRegion") for name, tag in controls.items()} == {
        "seen": "true",
        "fault": "true",
        "whole": None,
    }
    assert all(tag.get("value") == f"$verify_{name}" for name, tag in controls.items())


@pytest.mark.parametrize("kind", [TaskKind.VERIFY, TaskKind.ASK])
def test_boxes_of_an_earlier_model_that_nobody_looked_at_stay_open_whatever_the_task_asks_now(kind):
    earlier = [{**rectangle(place), "id": f"earlier {place}", "origin": "prediction"} for place in (0, 1)]
    looked_at = {**chosen("seen", "looked at", 0), "id": "earlier 0"}
    answer = answered(*earlier, looked_at, kind=kind)
    assert [(b.label, str(b.source)) for b in answer.boxes] == [("bolt", "accepted")]
    assert ignored(answer) == [("unanswered", NUT.xyxy), WHOLE]
    assert (answer.verified, answer.verdicts, answer.deleted) == (True, (), ())
