from __future__ import annotations

import pytest

from pipeline.artefacts import AnswerRemark, Decision
from pipeline.labeling.feedback.scrutiny import Scrutiny
from pipeline.records import Answer, Source
from pipeline.settings import DataSettings, Settings
from pipeline.workspace import Workspace
from tests.builders import MOMENT, box, image_id
from tests.selection.evidence import selection_of

ONE = image_id("one")


def answer(*boxes, verdicts=(), **fields):
    values = {"skipped": False, "cycle": 0, "link": "http://here/task=7", **fields}
    return Answer(
        ONE, "1", "ann", boxes=boxes, created_at=MOMENT, updated_at=MOMENT, verdicts=tuple(verdicts), **values
    )


def kept(count):
    """Machine boxes that lie apart, left as they were."""
    return [box(60.0 * n, 0, 60.0 * n + 40.0, 40, source=Source.ACCEPTED) for n in range(count)]


@pytest.fixture
def settings(tmp_path):
    """A project whose first cycle showed two sure and three unsure boxes of one image."""
    made = Settings(name="p", workspace=str(tmp_path), data=DataSettings(labels=("bolt", "nut")))
    chances = (0.99, 0.95, 0.4, 0.4, 0.3, 0.1)
    places = ({"x1": 60.0 * n, "x2": 60.0 * n + 40.0, "p_correct": p} for n, p in enumerate(chances))
    folder = Workspace(made.workspace).cycle(0)
    folder.write_table("selection.parquet", selection_of(*({"image_id": ONE, **place} for place in places)))
    folder.write_record(Decision.FILE, Decision(waiting=1, shown_from=0.2))
    return made


def kinds(settings, *answers, **fields):
    return [remark.kind for remark in Scrutiny(settings, **fields).remarks(answers)]


def test_a_remark_names_the_file_the_person_and_the_task(settings):
    (remark,) = Scrutiny(settings, {ONE: "/images/one.jpg"}).remarks(
        [answer(box(source=Source.HUMAN), lead_time_s=1.5)]
    )
    text = "answered in 1.5 s, where its actions take about 10 s"
    assert remark == AnswerRemark("fast", ONE, "/images/one.jpg", "ann", text, "http://here/task=7")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(None, []), (0.5, ["fast"]), (1.9, ["fast"]), (2.1, []), (900.0, [])]
)
def test_a_very_fast_answer(settings, seconds, expected):
    lone = box(source=Source.HUMAN)
    assert kinds(settings, answer(lone, lead_time_s=seconds)) == expected


@pytest.mark.parametrize(
    ("verdicts", "cycle", "expected"),
    [
        (["accepted"] * 5, 0, ["unchanged"]),
        (["accepted"] * 4 + ["deleted"], 0, []),
        (["accepted"] * 4 + ["corrected"], 0, []),
        (["accepted"] * 5, 3, []),
        (["accepted"] * 5, None, []),
    ],
    ids=["all of them", "one deleted", "one corrected", "of a cycle that is gone", "of an unknown cycle"],
)
def test_unlikely_boxes_that_are_all_left_unchanged(settings, verdicts, cycle, expected):
    given = answer(*kept(5), verdicts=[("bolt", verdict) for verdict in verdicts], cycle=cycle)
    assert kinds(settings, given) == expected


def test_likely_boxes_may_all_be_left_unchanged(settings):
    Workspace(settings.workspace).cycle(0).write_record(Decision.FILE, Decision(waiting=1, shown_from=0.9))
    assert kinds(settings, answer(*kept(2), verdicts=[("bolt", "accepted")] * 2)) == []


def test_how_many_are_expected_to_be_wrong_is_said(settings):
    (remark,) = Scrutiny(settings).remarks([answer(*kept(5), verdicts=[("bolt", "accepted")] * 5)])
    assert remark.text == "all 5 boxes left unchanged, of which about 2 are expected to be wrong"


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([box(0, 0, 10, 10), box(0, 0, 10, 9)], ["overlapping"]),
        ([box(0, 0, 10, 10), box(0, 0, 10, 9, "nut")], []),
        ([box(0, 0, 10, 10), box(8, 0, 18, 10)], []),
    ],
    ids=["one class", "two classes", "side by side"],
)
def test_two_boxes_of_one_class_at_one_place(settings, boxes, expected):
    assert kinds(settings, answer(*boxes)) == expected


@pytest.mark.parametrize(("shown", "expected"), [(0, []), (4, []), (5, ["empty"])])
def test_an_empty_answer_where_many_boxes_were_shown(settings, shown, expected):
    assert kinds(settings, answer(verdicts=[("bolt", "deleted")] * shown)) == expected


def test_people_who_disagree(settings):
    (remark,) = Scrutiny(settings, {}, {ONE: 0.21}).remarks([answer(box())])
    assert (remark.kind, remark.text) == ("disagreement", "the last two people agree by 0.21, expected 0.70")


def test_what_is_skipped_or_in_order_is_not_remarked(settings):
    assert kinds(settings) == []
    assert kinds(settings, answer(skipped=True, lead_time_s=0.1), answer(box(), lead_time_s=60.0)) == []
