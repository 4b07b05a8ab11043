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
    assert tasks_of([], queue_of(), machine_boxes(), BLANK, 0.0) == []
    assert tasks_of(waiting("a"), queue_of(), machine_boxes(), BLANK, 0.0) == []


def test_a_task_says_what_is_asked_and_why():
    (task,) = tasks_of(waiting("a"), queue_of(("a", TaskKind.ASK)), machine_boxes(), BLANK, 0.0)
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
        "rank": 1,
    }
    assert task == replace(BLANK, **expected)


def test_the_best_come_first_and_images_that_wait_no_more_are_left_out():
    queue = queue_of(*((name, TaskKind.ASK) for name in "cab"))
    tasks = tasks_of(waiting("a", "c"), queue, machine_boxes(), BLANK, 0.0)
    assert [task.image_id for task in tasks] == [image_id("c"), image_id("a")]
    assert [(task.value, task.rank) for task in tasks] == [(9.0, 1), (8.0, 2)]


ROWS = machine_boxes(
    ("a", "pseudo", {"x1": 100.0, "x2": 140.0, "p_correct": 0.99, "threshold": 0.9}),
    ("a", "ask", {"x1": 200.0, "x2": 240.0, "p_correct": 0.4, "checks": 0}),
    ("a", "ask", {"x1": 300.0, "x2": 340.0, "p_correct": 0.2, "checks": 0}),
    ("a", "drop", {"x1": 400.0, "x2": 440.0, "p_correct": 0.01}),
    ("b", "ask", {"x1": 500.0, "x2": 540.0}),
)


@pytest.mark.parametrize(("least", "shown"), [(0.0, [200, 300, 100]), (0.3, [200, 100]), (None, [])])
def test_people_see_boxes_that_pay_the_most_doubtful_first(least, shown):
    (task,) = tasks_of(waiting("a"), queue_of(("a", TaskKind.ASK)), ROWS, BLANK, least)
    assert [box.x1 for box in task.boxes] == shown
    assert {(box.source, box.created_at) for box in task.boxes} <= {(Source.PSEUDO, MOMENT)}


@pytest.mark.parametrize("kind", [TaskKind.BLIND, TaskKind.AUDIT])
def test_who_draws_blind_sees_no_boxes(kind):
    shown, blind = tasks_of(waiting("a", "b"), queue_of(("b", TaskKind.ASK), ("a", kind)), ROWS, BLANK, 0.0)
    assert (shown.kind, len(shown.boxes)) == (TaskKind.ASK, 1)
    assert (blind.kind, blind.boxes, blind.doubts) == (kind, (), {})


@pytest.mark.parametrize(("boxes", "unsure"), [(1, 1), (2, 1), (3, 1), (5, 1), (6, 2), (20, 6)])
def test_few_boxes_are_called_unsure_and_those_are_the_most_doubtful(boxes, unsure):
    places = ({"x1": 60.0 * n, "x2": 60.0 * n + 40.0, "p_correct": 0.5 + 0.02 * n, "checks": 0} for n in range(boxes))
    rows = machine_boxes(*(("a", "ask", place) for place in places))
    (task,) = tasks_of(waiting("a"), queue_of(("a", TaskKind.ASK)), rows, BLANK, 0.0)
    assert list(task.doubts) == [box.box_id for box in task.boxes][:unsure]
    assert set(task.doubts.values()) == {"perhaps not quite in place"}


@pytest.mark.parametrize(("fate", "p_correct"), [("pseudo", 0.9), ("ask", 0.97)])
def test_a_sure_box_is_never_called_unsure(fate, p_correct):
    rows = machine_boxes(("a", fate, {"p_correct": p_correct}))
    (task,) = tasks_of(waiting("a"), queue_of(("a", TaskKind.ASK)), rows, BLANK, 0.0)
    assert (len(task.boxes), task.doubts) == (1, {})


def test_a_task_without_a_time_of_asking_is_refused():
    with pytest.raises(ValueError, match="Expected a task with asked_at"):
        tasks_of([], queue_of(), machine_boxes(), replace(BLANK, asked_at=None), 0.0)
