import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.labeling.label_studio.answers import Reader
from pipeline.labeling.label_studio.payload import task_payload
from tests.builders import box, image_id, task

READER = Reader(frozenset({"bolt", "nut"}), accepted_iou=0.9, people={1: "ann@example.com"})
MACHINE = (
    box(32, 24, 96, 96, score=0.6, consistency=0.5, p_correct=0.9, proposal_id="p.000"),
    box(160, 120, 240, 200, "nut", score=0.3, proposal_id="p.001"),
)


def pushed(*annotations, **data):
    sent = task_payload(task("one", *MACHINE, model_id="m3"), "/a.jpg")
    return {"id": 17, **sent, "data": {**sent["data"], **data}, "annotations": list(annotations)}


def annotation(*regions, **fields):
    times = {"created_at": "2026-01-02T03:04:05.000006Z", "updated_at": "2026-01-03T03:04:05.000006Z"}
    return {"id": 5, "completed_by": 1, "result": list(regions), "lead_time": 2.5, **times, **fields}


def region(place=None, **value):
    known = pushed()["predictions"][0]["result"]
    base = known[place] if place is not None else {**known[0], "id": "drawn"}
    return {**base, "value": {**base["value"], **value}}


def read(*regions, **fields):
    (reading,) = READER.read(pushed(annotation(*regions, **fields)))
    return reading


def test_no_annotations_give_no_answers():
    assert READER.read(pushed()) == []


@pytest.mark.parametrize(("tasks_at", "link"), [("", ""), ("http://here/data?task=", "http://here/data?task=11")])
def test_an_answer_leads_to_its_task(tasks_at, link):
    (reading,) = replace(READER, tasks_at=tasks_at).read({**pushed(annotation()), "id": 11})
    assert reading.answer.link == link


def test_what_the_page_says_of_unsure_boxes_is_no_answer():
    note = {**region(0), "type": "textarea", "from_name": "note", "value": {"text": ["unsure: 0.41"]}}
    assert read(region(0), note) == read(region(0))


@pytest.mark.parametrize(
    ("regions", "verdicts"),
    [
        ((), ("deleted", "deleted")),
        ((region(0), region(1, x=60.0)), ("accepted", "corrected")),
        ((region(), region(1, rectanglelabels=["bolt"])), ("deleted", "corrected")),
    ],
)
def test_what_became_of_every_box_that_was_shown(regions, verdicts):
    answer = read(*regions).answer
    assert answer.verdicts == tuple(zip(("bolt", "nut"), verdicts, strict=True))
    assert answer.cycle == 0
    assert read(*regions, was_cancelled=True).answer.verdicts == ()


def test_an_empty_annotation_is_a_true_negative():
    answer = read().answer
    assert (answer.image_id, answer.annotation_id, answer.annotator) == (image_id("one"), "5", "ann@example.com")
    assert (answer.skipped, answer.boxes, answer.lead_time_s) == (False, (), 2.5)
    assert answer.created_at == datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    assert answer.updated_at == datetime(2026, 1, 3, 3, 4, 5, 6, UTC)


def test_a_skip_brings_no_boxes_whatever_was_drawn():
    answer = read(region(0), was_cancelled=True).answer
    assert (answer.skipped, answer.boxes) == (True, ())


@pytest.mark.parametrize("result", [None, []])
def test_a_missing_result_is_empty(result):
    assert read(result=result).answer.boxes == ()


@pytest.mark.parametrize(
    ("drawn", "source"),
    [
        (region(0), "accepted"),
        (region(1), "accepted"),
        (region(0, x=10.5), "accepted"),
        (region(0, x=12.0), "corrected"),
        (region(0, rectanglelabels=["nut"]), "corrected"),
        (region(), "human"),
        (region() | {"origin": "manual"}, "human"),
        (region() | {"origin": "prediction"}, "accepted"),
        (region() | {"origin": "prediction-changed"}, "corrected"),
        (region(0, x=50.0) | {"origin": "prediction"}, "corrected"),
    ],
)
def test_source_of_a_box(drawn, source):
    (found,) = read(drawn).answer.boxes
    assert str(found.source) == source
    assert (found.annotation_id, found.annotator) == ("5", "ann@example.com")
    assert found.created_at == datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (region(0), ("p.000", 0.6, 0.5, 0.9, "m3")),
        (region(1, x=10.0), ("p.001", 0.3, None, None, "m3")),
        (region(), (None, None, None, None, None)),
    ],
)
def test_a_box_keeps_what_the_machine_said_of_the_one_it_began_as(drawn, expected):
    (found,) = read(drawn).answer.boxes
    assert (found.proposal_id, found.score, found.consistency, found.p_correct, found.model_id) == expected


def test_machine_boxes_that_a_person_deletes_are_told():
    (gone,) = read(region(0)).answer.deleted
    assert (gone.box_id, gone.label, gone.proposal_id, gone.score) == (MACHINE[1].box_id, "nut", "p.001", 0.3)
    assert gone.xyxy == pytest.approx(MACHINE[1].xyxy)
    assert read(region(0), region(1)).answer.deleted == ()
    assert read(region(0), was_cancelled=True).answer.deleted == ()


@pytest.mark.parametrize(
    "proposals", [None, [], "x", {"p": 3}, {MACHINE[0].box_id: {"score": "high", "p_correct": None}}]
)
def test_a_task_of_an_earlier_release_or_changed_by_hand_is_read_without_what_the_machine_said(proposals):
    (reading,) = READER.read(pushed(annotation(region(0)), proposals=proposals, model_id=None))
    (found,) = reading.answer.boxes
    assert (str(found.source), found.proposal_id, found.score, found.model_id) == ("accepted", None, None, None)


@pytest.mark.parametrize(
    ("who", "name"),
    [
        (1, "ann@example.com"),
        (9, "user 9"),
        (None, "user None"),
        ({"id": 3, "email": "b@example.com"}, "b@example.com"),
    ],
)
def test_annotator(who, name):
    assert read(completed_by=who).answer.annotator == name


@pytest.mark.parametrize(
    ("odd", "note"),
    [
        (region(x=95.0, width=10.0), "region drawn: reached beyond the image"),
        (region(x=50.0, rotation=45), 'region drawn: turned by 45 degrees.*raw value.*"rotation": 45'),
        (region() | {"image_rotation": 90}, "turned by 90 degrees; read for the unturned image"),
        (region() | {"original_width": 640}, "expected an image of 320 x 240, drawn on 640 x 240"),
    ],
)
def test_repairs_keep_the_box_and_are_noted_on_the_answer(odd, note):
    reading = read(odd)
    assert len(reading.answer.boxes) == 1
    assert reading.notes == ()
    assert len(reading.answer.notes) == 1
    assert re.search(note, reading.answer.notes[0])


def test_the_same_box_twice_is_kept_once():
    answer = read(region(), region() | {"id": "copy"}).answer
    assert len(answer.boxes) == 1
    assert answer.notes == ("region copy: the same box a second time; left out",)


@pytest.mark.parametrize(
    ("odd", "note"),
    [
        ({"id": "p", "type": "polygonlabels", "value": {"points": []}}, "region p: expected a labeled rectangle"),
        ({"type": "relation", "from_id": "a", "to_id": "b"}, "got 'relation'; left out"),
        ({}, "region None: expected a labeled rectangle, got None"),
        (region() | {"value": None}, "expected a labeled rectangle"),
        (region(width=0), "expected a width and a height above 0"),
        (region(x="left"), "expected numbers"),
        (region(x=200), "no area inside the image; left out"),
    ],
)
def test_a_broken_region_is_noted_and_the_others_stay(odd, note):
    reading = read(region(0), odd)
    assert len(reading.answer.boxes) == 1
    assert reading.answer.ignore == ()
    assert {where for where, _ in reading.notes} == {image_id("one")}
    assert reading.notes[0][1].startswith("annotation 5, region ")
    assert note in " ".join(text for _, text in reading.notes)


@pytest.mark.parametrize(
    ("names", "got"), [(["gear"], "'gear'"), ([], "''"), (None, "''"), (["bolt", "nut"], "'bolt+nut'")]
)
def test_an_unknown_label_becomes_an_ignored_region_with_a_note(names, got):
    reading = read(region(0), region(rectanglelabels=names))
    assert [b.label for b in reading.answer.boxes] == ["bolt"]
    assert [(r.xyxy, r.reason) for r in reading.answer.ignore] == [((32, 24, 96, 96), "unknown_label")]
    assert f"expected one of ['bolt', 'nut'], got {got}; kept as ignored region" in reading.notes[0][1]


@pytest.mark.parametrize(
    "data", [{"image_id": None}, {"image_id": 5}, {"image_id": ""}, {"width": "320"}, {"height": 0}, {"width": None}]
)
def test_a_task_that_is_not_ours_is_a_note(data):
    where, problem = READER.read(pushed(annotation(region()), **data))
    assert where == "task 17"
    assert "expected image_id, width and height" in problem


RENEWED = ("the machine's boxes were renewed while somebody had them open: what became of them is not counted",)


def renewed_at(moment, *annotations, made="2026-01-02T01:00:00Z"):
    entry = pushed(*annotations)
    prediction = {**entry["predictions"][0], "created_at": made, "updated_at": moment}
    return {**entry, "predictions": [prediction]}


@pytest.mark.parametrize(
    ("changed", "notes"),
    [
        ("2026-01-02T03:04:02Z", ()),  # before the person began, 2.5 s before submitting
        ("2026-01-02T03:04:03Z", RENEWED),
        ("2026-01-02T03:04:06Z", RENEWED),
    ],
)
def test_boxes_that_were_renewed_under_a_person_are_not_held_against_the_answer(changed, notes):
    (reading,) = READER.read(renewed_at(changed, annotation()))
    assert reading.answer.notes == notes
    assert len(reading.answer.verdicts) == len(reading.answer.deleted) == (0 if notes else 2)


def test_a_person_cannot_have_begun_before_there_was_a_task():
    (reading,) = READER.read(renewed_at("2026-01-02T03:04:05Z", annotation(), made="2026-01-02T03:04:04Z"))
    assert (reading.answer.notes, len(reading.answer.verdicts)) == ((), 2)


def test_boxes_of_an_earlier_model_that_a_person_left_are_accepted_and_the_newer_ones_not_deleted():
    earlier = {**region(0), "id": "earlier", "origin": "prediction"}
    moved = {**region(1, x=10.0), "id": "moved", "origin": "prediction-changed"}
    answer = read(earlier, moved).answer
    assert [b.source for b in answer.boxes] == ["accepted", "corrected"]
    assert (answer.notes, answer.verdicts, answer.deleted) == (RENEWED, (), ())


def test_a_copy_of_a_box_of_the_machine_does_not_make_the_answer_one_on_earlier_boxes():
    copied = {**region(0, x=70.0), "id": "copied", "origin": "prediction"}
    answer = read(region(0) | {"origin": "prediction"}, copied).answer
    assert (answer.notes, len(answer.verdicts)) == ((), 2)
