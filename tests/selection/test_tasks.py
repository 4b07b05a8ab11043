from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from pipeline.records import QUEUE_SCHEMA, Source, State, Task, TaskKind
from pipeline.selection.tasks import tasks_of
from tests.builders import MOMENT, image_id, sample
from tests.selection.evidence import selection_of

BLANK = Task("", "", 0, 0, (), 0.0, "", cycle=3, model_id="m1", asked_at=MOMENT)


def queue_of(*rows):
    """From `(name, kind)`, best first."""
    values = [
        {
            "image_id": image_id(name),
            "rank": rank,
            "value": 9.0 - rank,
            "expected_corrections": 1.0,
            "expected_missed": 0.5,
            "boxes": 1,
            "kind": kind.value,
            "reason": f"because of {name}",
        }
        for rank, (name, kind) in enumerate(rows)
    ]
    return pa.Table.from_pylist(values, schema=QUEUE_SCHEMA)


def machine_boxes(*rows):
    """From `(name, fate, values)`."""
    return selection_of(*({"image_id": image_id(name), "fate": fate, **values} for name, fate, values in rows))


def waiting(*names):
    return [sample(name, state=State.QUEUED, width=640, height=480) for name in names]


def test_no_questions():
    assert tasks_of([], queue_of(), machine_boxes(), BLANK, 0.95) == []
    assert tasks_of(waiting("a"), queue_of(), machine_boxes(), BLANK, 0.95) == []


def test_a_task_says_what_is_asked_and_why():
    (task,) = tasks_of(waiting("a"), queue_of(("a", TaskKind.ASK)), machine_boxes(), BLANK, 0.95)
    expected = {
        "image_id": image_id("a"),
        "uri": "/images/a.jpg",
        "width": 640,
        "height": 480,
        "boxes": (),
        "value": 9.0,
        "reason": "because of a",
        "kind": TaskKind.ASK,
        "doubts": {},
    }
    assert task == replace(BLANK, **expected)


def test_the_best_come_first_and_images_that_wait_no_more_are_left_out():
    queue = queue_of(*((name, TaskKind.ASK) for name in "cab"))
    tasks = tasks_of(waiting("a", "c"), queue, machine_boxes(), BLANK, 0.95)
    assert [task.image_id for task in tasks] == [image_id("c"), image_id("a")]
    assert [task.value for task in tasks] == [9.0, 8.0]


ROWS = machine_boxes(
    ("a", "ask", {"x1": 1.0, "p_correct": 0.4, "threshold": 0.9, "checks": 0}),
    ("a", "drop", {"x1": 2.0, "p_correct": 0.01}),
    ("a", "pseudo", {"x1": 3.0, "p_correct": 0.99, "threshold": 0.9}),
    ("b", "ask", {"x1": 4.0}),
)


def test_people_see_certified_boxes_first_then_those_that_are_asked_about():
    (task,) = tasks_of(waiting("a"), queue_of(("a", TaskKind.ASK)), ROWS, BLANK, 0.95)
    assert [box.x1 for box in task.boxes] == [3.0, 1.0]
    assert {(box.source, box.created_at) for box in task.boxes} == {(Source.PSEUDO, MOMENT)}
    assert task.doubts == {task.boxes[1].box_id: "unsure: 0.40"}


@pytest.mark.parametrize("kind", [TaskKind.BLIND, TaskKind.AUDIT])
def test_who_draws_blind_sees_no_boxes(kind):
    shown, blind = tasks_of(waiting("a", "b"), queue_of(("b", TaskKind.ASK), ("a", kind)), ROWS, BLANK, 0.95)
    assert (shown.kind, len(shown.boxes)) == (TaskKind.ASK, 1)
    assert (blind.kind, blind.boxes, blind.doubts) == (kind, (), {})


def test_the_bar_of_a_class_without_a_certificate_is_the_promised_precision():
    rows = machine_boxes(("a", "ask", {"p_correct": 0.9, "threshold": None, "checks": 0}))
    queue = queue_of(("a", TaskKind.ASK))
    ((low,), (high,)) = (tasks_of(waiting("a"), queue, rows, BLANK, target) for target in (0.85, 0.95))
    assert low.doubts == {}
    assert list(high.doubts.values()) == ["unsure: 0.90"]


def test_a_task_without_a_time_of_asking_is_refused():
    with pytest.raises(ValueError, match="Expected a task with asked_at"):
        tasks_of([], queue_of(), machine_boxes(), replace(BLANK, asked_at=None), 0.95)
