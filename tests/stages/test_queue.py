"""What is asked from cycle to cycle: blind shares, answers begun, and rubber-stamping measured."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from urllib.parse import unquote

import pytest

from pipeline.artefacts import Acceptance, Decision, SelectionRun
from pipeline.cycle import load_cycle
from pipeline.dataset.relocation import Move, relocate
from pipeline.dataset.store import SampleStore
from pipeline.labeling.backend import PushResult
from pipeline.labeling.feedback.acceptance import count_acceptance
from pipeline.labeling.label_studio.image_access import image_address
from pipeline.labeling.label_studio.payload import task_payload
from pipeline.labeling.label_studio.renew import stale
from pipeline.records import Answer, Box, Source, State, TaskKind
from pipeline.selection.fates import box_of
from pipeline.selection.showing import shown_boxes
from pipeline.selection.tasks import last_queued, queued_tasks
from pipeline.settings.labeling import LabelStudioSettings
from pipeline.stages.push import push_now
from pipeline.workspace import Workspace
from tests.builders import MOMENT
from tests.end_to_end.project import labeled_sources, pool_source, run_cycles, write_config


@pytest.fixture(scope="module")
def unanswered(tiny_data, tmp_path_factory):
    """Two cycles in which nobody answers; half of the questions are blind."""
    config = write_config(
        tmp_path_factory.mktemp("unanswered"),
        tiny_data,
        data={"sources": [*labeled_sources(tiny_data), pool_source(tiny_data)]},
        selection={"audit_share": 0.0, "query": {"images": 4, "blind_share": 0.5, "shortlist_factor": 1}},
        labeling={"backend": "none"},
    )
    return run_cycles(config, 2)


def queue(settings, number):
    rows = Workspace(settings.workspace).cycle(number).read_table("queue.parquet").to_pylist()
    return {row["image_id"]: row for row in rows}


def states(settings):
    return {one.image_id: one.state for one in SampleStore(Workspace(settings.workspace).samples_uri).samples()}


def test_a_set_share_is_blind_and_shows_nothing(unanswered):
    rows = queue(unanswered, 0).values()
    blind = [row for row in rows if row["kind"] == TaskKind.BLIND.value]
    assert (len(rows), len(blind)) == (4, 2)
    assert {(row["boxes"], row["reason"]) for row in blind} == {(0, "please draw every object")}


def test_the_queue_holds_the_most_valuable_and_the_states_agree(unanswered):
    first, second = queue(unanswered, 0), queue(unanswered, 1)
    assert len(second) == 4
    assert {image_id for image_id, state in states(unanswered).items() if state is State.QUEUED} == set(second)
    for image_id in first.keys() & second.keys():
        before, now = (TaskKind(rows[image_id]["kind"]).shows_boxes for rows in (first, second))
        assert before is now, "who saw boxes never becomes blind"
    assert load_cycle(unanswered.workspace, 1).read(SelectionRun).queued == 4


class Desk:
    """Takes questions and tells of answers that were begun."""

    def __init__(self, begun):
        self.begun = begun
        self.pushed, self.unasked = [], frozenset()

    def push(self, tasks, progress=None, unasked=()):
        self.pushed, self.unasked = list(tasks), unasked
        return PushResult(begun=tuple(image_id for image_id in self.begun if image_id in unasked))


def test_begun_answers_wait_although_nobody_would_be_asked_now(tiny_data, tmp_path):
    config = write_config(
        tmp_path,
        tiny_data,
        data={"sources": [*labeled_sources(tiny_data), pool_source(tiny_data)]},
        training={"steps": 6},
        labeling={"backend": "none"},
    )
    settings = run_cycles(config)
    before = states(settings)
    free = sorted(one for one, state in before.items() if state in {State.POOL, State.PSEUDO})
    desk = Desk(free[:1])
    assert push_now(settings, desk).begun == 1
    assert desk.unasked == set(free)
    assert {task.image_id for task in desk.pushed} == set(queue(settings, 0))
    assert states(settings) == {**before, free[0]: State.QUEUED}
    assert push_now(settings, desk).begun == 0
    shown = [task for task in desk.pushed if task.kind.shows_boxes]
    assert all(set(task.doubts) <= {one.box_id for one in task.boxes} for task in shown)


def answer(image_id, *boxes, cycle=0, number="1", **fields):
    return Answer(image_id, number, "ann", False, tuple(boxes), MOMENT, MOMENT, cycle=cycle, **fields)


def drawn(box: Box) -> Box:
    return replace(box, source=Source.HUMAN)


def test_blind_answers_are_held_against_the_boxes_that_were_withheld(unanswered):
    folder = Workspace(unanswered.workspace).cycle(0)
    selection = folder.read_table("selection.parquet")
    shown = shown_boxes(selection, load_cycle(unanswered.workspace, 0).read(Decision).shown_from)
    rows = queue(unanswered, 0)
    blind = next(one for one, row in rows.items() if row["kind"] == "blind" and one in shown)
    asked = next(one for one, row in rows.items() if row["kind"] in {"ask", "verify"})
    withheld = [box_of(box.row, MOMENT) for box in shown[blind]]
    first = withheld[0]
    elsewhere = replace(first, x1=0.0, y1=0.0, x2=1.0, y2=1.0)
    verdicts = (("red", "accepted"), ("red", "deleted"), ("blue", "corrected"))
    answers = [
        answer(asked, number="0", verdicts=(("red", "deleted"),)),
        answer(asked, drawn(replace(first, label="blue")), number="0", verdicts=verdicts),
        answer(blind, drawn(first), drawn(elsewhere), number="2"),
        answer("unknown", drawn(first), number="3"),
        replace(answer(blind, number="4"), skipped=True),
        replace(answer(blind, number="5"), cycle=None),
    ]
    acceptance = count_acceptance(unanswered, answers)
    assert (acceptance.shown_images, acceptance.blind_images) == (1, 1)
    total = acceptance.total
    assert (total.shown, total.accepted, total.corrected, total.deleted, total.added) == (3, 1, 1, 1, 1)
    assert (total.blind, total.confirmed, total.missed) == (len(withheld), 1, 1)
    in_image = Counter(box.label for box in withheld)
    assert (total.shown_squared, total.blind_squared) == (2**2 + 1**2, sum(n**2 for n in in_image.values()))
    assert count_acceptance(unanswered, []) == Acceptance()


def test_the_next_push_gives_open_tasks_the_new_place_of_their_images(unanswered, tiny_data, tmp_path):
    """What was pushed before names the old place, so that the push after finds it stale; nothing else is."""
    server = LabelStudioSettings(document_root="/")
    store = SampleStore(Workspace(unanswered.workspace).samples_uri)

    def payloads():
        tasks = queued_tasks(last_queued(unanswered.workspace))
        return [task_payload(task, image_address(task.uri, server)) for task in tasks]

    before, version = payloads(), store.version()
    shutil.copytree(tiny_data, tmp_path / "moved")
    relocate(store, Move(str(tiny_data), str(tmp_path / "moved")))
    after = payloads()
    state = {"is_labeled": False, "draft_exists": False, "total_annotations": 0, "cancelled_annotations": 0}
    open_tasks = [{**state, "data": payload["data"]} for payload in before]
    assert len(stale(list(zip(open_tasks, after, strict=True)))) == len(before) == 4
    assert stale(list(zip(open_tasks, before, strict=True))) == []
    assert all(str(tmp_path / "moved")[1:] in unquote(payload["data"]["image"]) for payload in after)
    store.restore(version, "back")
