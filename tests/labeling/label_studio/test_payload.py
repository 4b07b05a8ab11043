import itertools
import json

import pytest

from pipeline.labeling.label_studio.page import label_config
from pipeline.labeling.label_studio.payload import queue_score, task_payload
from pipeline.labeling.label_studio.prediction_check import prediction_checker
from pipeline.records import TaskKind
from tests.builders import box, image_id, task

CHECK = prediction_checker(label_config(("bolt", "nut")))


def test_a_task_without_boxes_still_has_its_place_in_the_queue():
    payload = task_payload(task(value=0.0), "/a.jpg")
    assert payload["predictions"] == [{"model_version": "crosscheck", "score": 0.5, "result": []}]
    assert payload["data"] == {
        "image": "/a.jpg",
        "image_id": image_id("one"),
        "rank": 0,
        "value": 0.0,
        "reason": "because",
        "kind": "ask",
        "cycle": 0,
        "model_id": "",
        "width": 320,
        "height": 240,
        "verify_seen": [],
        "verify_fault": [],
        "verify_whole": [],
        "proposals": {},
    }


@pytest.mark.parametrize(("kind", "regions"), [(TaskKind.ASK, 1), (TaskKind.AUDIT, 0), (TaskKind.BLIND, 0)])
def test_only_questions_show_boxes(kind, regions):
    payload = task_payload(task("one", box(score=0.5), kind=kind), "/a.jpg")
    assert len(payload["predictions"][0]["result"]) == regions


def test_a_box_becomes_a_region_of_the_same_id():
    machine = box(32, 24, 96, 120, "nut", score=0.25)
    payload = task_payload(task("one", machine, cycle=3, model_id="m3"), "/a.jpg")
    (region,) = payload["predictions"][0]["result"]
    value = region.pop("value")
    assert [value.pop(name) for name in ("x", "y", "width", "height")] == pytest.approx([10, 10, 20, 40], abs=1e-12)
    assert value == {"rotation": 0, "rectanglelabels": ["nut"]}
    assert region == {
        "id": machine.box_id,
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": 320,
        "original_height": 240,
        "image_rotation": 0,
        "score": 0.25,
    }
    assert json.loads(json.dumps(payload)) == payload


def test_an_unsure_box_says_so_below_its_line_and_keeps_its_score():
    sure, unsure = box(score=0.2, p_correct=0.97), box(x1=11, score=0.9, p_correct=0.41)
    payload = task_payload(task("one", sure, unsure, doubts={unsure.box_id: "unsure: 0.41"}), "/a.jpg")
    first, second, note = payload["predictions"][0]["result"]
    assert (first["score"], second["score"]) == (0.97, 0.41)
    assert (note["id"], note["from_name"], note["value"]["text"]) == (unsure.box_id, "note", ["unsure: 0.41"])
    assert CHECK(payload["predictions"][0]) == []


def test_the_queue_follows_the_value_and_scores_stay_in_bounds():
    values = [-1e6, -3.0, -0.5, 0.0, 1e-6, 0.2, 0.9, 1.0, 1.1, 3.7, 40.0, 1e6]
    scores = [queue_score(value) for value in values]
    assert all(first > second for first, second in itertools.pairwise(scores))
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize(
    ("boxes", "fault"),
    [
        ((), None),
        ((box(score=0.5),), None),
        ((box(0, 0, 320, 240, score=1.0), box(319.9, 239.9, 320, 240, "nut", score=0.0)), None),
        ((box(label="gear", score=0.5),), "gear"),
        ((box(x2=330, x1=325, score=0.5),), "out of bounds"),
    ],
)
def test_the_check_before_sending(boxes, fault):
    faults = CHECK(task_payload(task("one", *boxes), "/a.jpg")["predictions"][0])
    assert bool(faults) == (fault is not None)
    assert fault is None or fault in faults[0]
