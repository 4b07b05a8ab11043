"""Which open tasks a new model leaves as they are."""

from dataclasses import replace

import pytest

from pipeline.labeling.label_studio.hardly_changed import has_hardly_changed
from pipeline.labeling.label_studio.payload import task_payload
from pipeline.records import TaskKind
from tests.builders import box, task

BOLT = box(0, 0, 100, 100, score=0.6, p_correct=0.5, model_id="m1")
NUT = box(150, 100, 250, 200, "nut", score=0.3, model_id="m1")
BEFORE = task("one", BOLT, NUT, value=4.0, cycle=1, model_id="m1", rank=3)


def on_server(asked, **fields):
    return {"id": 7, "is_labeled": False, **task_payload(asked, "/a.png"), **fields}


def hardly(now, before=BEFORE, address="/a.png"):
    return has_hardly_changed(on_server(before), task_payload(now, address))


def test_without_boxes_on_either_side_nothing_has_changed():
    assert hardly(replace(BEFORE, boxes=()), replace(BEFORE, boxes=()))


def test_what_nobody_notices_may_lag_behind():
    newer = (replace(BOLT, box_id="b", x2=104.0, score=0.9, p_correct=0.8), replace(NUT, box_id="n"))
    said = {"reason": "other words", "doubts": {"b": "perhaps a nut"}, "rank": 1, "cycle": 2, "model_id": "m2"}
    assert hardly(replace(BEFORE, boxes=newer[::-1], value=4.3, **said))


@pytest.mark.parametrize(
    "boxes",
    [
        (),
        (BOLT,),
        (BOLT, NUT, replace(NUT, box_id="again")),
        (BOLT, BOLT),
        (BOLT, replace(NUT, label="bolt")),
        (replace(BOLT, x2=120.0), NUT),
    ],
    ids=["none", "fewer", "more", "one twice", "another class", "another place"],
)
def test_people_notice_other_boxes(boxes):
    assert not hardly(replace(BEFORE, boxes=boxes))


@pytest.mark.parametrize(("value", "stays"), [(4.4, True), (4.5, False), (3.5, False), (-4.0, False)])
def test_another_place_in_the_queue_is_a_change(value, stays):
    assert hardly(replace(BEFORE, value=value)) is stays


@pytest.mark.parametrize("kind", [TaskKind.VERIFY, TaskKind.BLIND])
def test_another_way_of_asking_is_a_change(kind):
    assert not hardly(replace(BEFORE, kind=kind))


def test_another_address_of_the_image_is_a_change():
    assert not hardly(BEFORE, address="/elsewhere/a.png")


def test_a_task_that_left_the_queue_is_made_anew():
    assert not has_hardly_changed(on_server(BEFORE, is_labeled=True), task_payload(BEFORE, "/a.png"))


def test_a_renewal_that_broke_off_is_finished():
    newer = replace(BEFORE, boxes=(replace(BOLT, box_id="b"), replace(NUT, box_id="n")))
    half = {**on_server(BEFORE), "predictions": task_payload(newer, "/a.png")["predictions"]}
    assert not has_hardly_changed(half, task_payload(newer, "/a.png"))


@pytest.mark.parametrize("data", [{"value": None}, {"proposals": None}])
def test_tasks_of_an_earlier_release_are_made_anew(data):
    entry = on_server(BEFORE)
    assert not has_hardly_changed({**entry, "data": {**entry["data"], **data}}, task_payload(BEFORE, "/a.png"))
