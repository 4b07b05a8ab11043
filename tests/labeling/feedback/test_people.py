"""How people get on, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from pipeline.artefacts import AnswerPace, People
from pipeline.labeling.feedback.people import count_people
from pipeline.records import QUEUE_SCHEMA, Answer, Region, Source
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.builders import MOMENT, box, image_id
from tests.end_to_end.project import write_config

HERE, THERE = box(10, 10, 50, 50, source=Source.HUMAN), box(100, 100, 150, 150, source=Source.HUMAN)


@pytest.fixture
def settings(tmp_path):
    """A project that asked about two images to correct, one to verify, and one blind."""
    made = load_settings(write_config(tmp_path, tmp_path, data={"labels": ["bolt"], "sources": []}))
    kinds = {"a": "ask", "b": "ask", "c": "verify", "d": "blind"}
    rows = [{"image_id": image_id(name), "rank": 0, "kind": kind} for name, kind in kinds.items()]
    folder = Workspace(made.workspace).cycle(0)
    folder.write_table("queue.parquet", pa.Table.from_pylist(rows, schema=QUEUE_SCHEMA))
    return made


def answer(name, *boxes, number="1", by="ann", seconds=None, **fields):
    fields = {"skipped": False, "cycle": 0, "updated_at": MOMENT, **fields}
    return Answer(
        image_id=image_id(name), annotation_id=number, annotator=by, boxes=boxes, created_at=MOMENT,
        lead_time_s=seconds, **fields,
    )  # fmt: skip


def test_no_answers_no_people(settings):
    assert count_people(settings, []) == People()


def test_answers_are_counted_by_kind_and_by_person(settings):
    part = (Region(0, 0, 9, 9, "unanswered"),)
    found = count_people(
        settings,
        [
            answer("a", HERE, number="1", seconds=10.0),
            answer("b", HERE, THERE, number="2", seconds=20.0),
            answer("c", HERE, number="3", by="ben", seconds=4.0, ignore=part),
            answer("d", number="4", by="ben", skipped=True),
            answer("e", number="5", by="ben", cycle=None),
        ],
    )
    assert found.kinds == {
        "ask": AnswerPace(answered=2, boxes=3, timed=2, median_s=15.0),
        "verify": AnswerPace(answered=1, boxes=1, in_part=1, timed=1, median_s=4.0),
        "blind": AnswerPace(skipped=1),
    }
    assert found.annotators == {
        "ann": AnswerPace(answered=2, boxes=3, timed=2, median_s=15.0),
        "ben": AnswerPace(answered=2, skipped=1, boxes=1, in_part=1, timed=1, median_s=4.0),
    }


def test_the_last_word_of_an_annotation_counts(settings):
    first = answer("a", HERE, THERE, seconds=9.0)
    found = count_people(settings, [first, replace(first, boxes=(HERE,), lead_time_s=12.0)])
    assert found.kinds == {"ask": AnswerPace(answered=1, boxes=1, timed=1, median_s=12.0)}


def test_each_person_is_compared_with_each_other_who_answered_the_same_image_whole(settings):
    later = MOMENT + timedelta(minutes=1)
    found = count_people(
        settings,
        [
            answer("a", HERE, THERE, number="1"),
            answer("a", HERE, number="2", by="ben", updated_at=later),
            answer("a", HERE, number="3", by="cleo", updated_at=later),
            answer("b", HERE, number="4"),
            answer("b", THERE, number="5", by="ben", ignore=(Region(0, 0, 9, 9, "unanswered"),)),
            answer("d", HERE, number="6", by="dan"),
        ],
    )
    agreed = {name: (pace.compared, pace.agreement) for name, pace in found.annotators.items()}
    assert agreed == {
        "ann": (2, pytest.approx(2 / 3)),
        "ben": (2, pytest.approx((2 / 3 + 1) / 2)),
        "cleo": (2, pytest.approx((2 / 3 + 1) / 2)),
        "dan": (0, None),
    }


def test_reviews_are_a_kind_of_their_own_and_compared_with_nobody(settings):
    skipped = answer("b", number="r2", by="ann", skipped=True)
    found = count_people(
        settings,
        [answer("a", HERE, number="1", seconds=10.0)],
        [answer("a", HERE, THERE, number="r1", by="ben", seconds=6.0), skipped],
    )
    assert found.kinds["review"] == AnswerPace(answered=1, skipped=1, boxes=2, timed=1, median_s=6.0)
    assert found.annotators == {
        "ann": AnswerPace(answered=1, skipped=1, boxes=1, timed=1, median_s=10.0),
        "ben": AnswerPace(answered=1, boxes=2, timed=1, median_s=6.0),
    }
