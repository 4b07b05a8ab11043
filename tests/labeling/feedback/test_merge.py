from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.labeling.feedback.merge import Answers, merge_answers
from pipeline.records import (
    Answer,
    Region,
    Source,
    Split,
    State,
    samples_from_table,
    samples_to_table,
)
from tests.builders import MOMENT, box, image_id, sample


def drawn(*corners, label="bolt", source=Source.HUMAN, annotation="1"):
    return box(*corners, label=label, source=source, annotation_id=annotation, annotator="ann")


def answer(name="one", *boxes, number="1", after=0, skipped=False, **fields):
    moment = MOMENT + timedelta(seconds=after)
    return Answer(image_id(name), number, "ann", skipped, boxes, moment, moment, **fields)


def pool(name="one", *boxes, **fields):
    return sample(name, *boxes, **{"split": Split.POOL, "state": State.QUEUED, **fields})


def test_no_answers_change_nothing():
    result = merge_answers([pool()], Answers([]), 3)
    assert (result.samples, result.notes) == ((), ())
    assert result.counts == {"answered": 0, "skipped": 0, "empty": 0}


@pytest.mark.parametrize("state", [State.POOL, State.QUEUED, State.PSEUDO, State.SKIPPED])
def test_an_answered_image_is_for_training(state):
    before = pool("one", box(source=Source.PSEUDO), state=state, ignore=(Region(0, 0, 5, 5, "unsure"),))
    boxes = (drawn(1, 2, 30, 40), drawn(5, 6, 70, 80, source=Source.ACCEPTED))
    result = merge_answers([before, pool("two")], Answers([answer("one", *boxes)]), 3)
    (after,) = result.samples
    assert after == replace(before, state=State.LABELED, split=Split.TRAIN, boxes=boxes, ignore=(), cycle=3)
    assert result.counts == {"answered": 1, "skipped": 0, "empty": 0}


def test_an_empty_answer_is_a_true_negative():
    result = merge_answers([pool("one", box(source=Source.PSEUDO))], Answers([answer()]), None)
    assert [(s.state, s.boxes) for s in result.samples] == [(State.LABELED, ())]
    assert result.counts == {"answered": 1, "skipped": 0, "empty": 1}


def test_an_image_that_was_verified_in_part_is_no_true_negative():
    everything = Region(0, 0, 320, 240, "unanswered")
    result = merge_answers([pool()], Answers([answer("one", ignore=(everything,), verified=True)]), 3)
    (after,) = samples_from_table(samples_to_table(result.samples))
    assert (after.state, after.boxes, after.ignore) == (State.LABELED, (), (everything,))
    assert after.is_answered_in_part
    assert result.counts == {"answered": 1, "skipped": 0, "empty": 0}


def test_a_skip_says_who_skipped():
    result = merge_answers([pool("one", box(source=Source.PSEUDO))], Answers([answer(skipped=True)]), 1)
    (after,) = result.samples
    assert (after.state, after.split, after.boxes, after.note) == (State.SKIPPED, Split.POOL, (), "skipped by ann")
    assert result.counts == {"answered": 0, "skipped": 1, "empty": 0}


@pytest.mark.parametrize("split", [Split.VAL, Split.TEST, Split.TRAIN])
def test_labels_of_val_and_test_may_change_and_stay_there(split):
    before = sample("one", box(), split=split)
    (after,) = merge_answers([before], Answers([answer("one", drawn(1, 2, 3, 4))]), 1).samples
    assert (after.split, after.state) == (split, State.LABELED)


FIRST, SECOND = drawn(1, 2, 30, 40), drawn(1, 2, 30, 41, annotation="2")


@pytest.mark.parametrize(
    ("answers", "counting"),
    [
        ([answer("one", FIRST), answer("one", SECOND, number="2", after=1)], SECOND),
        ([answer("one", SECOND, number="2", after=1), answer("one", FIRST)], SECOND),
        ([answer("one", FIRST, after=1), answer("one", SECOND, number="2")], FIRST),
        ([answer("one", FIRST), answer("one", SECOND, number="2")], SECOND),
        ([answer("one", FIRST), answer(number="2", skipped=True, after=1)], FIRST),
    ],
)
def test_the_latest_answer_counts_and_a_skip_takes_nothing_away(answers, counting):
    result = merge_answers([pool()], Answers(answers), 1)
    assert [s.boxes for s in result.samples] == [(counting,)]
    assert result.counts["answered"] == 1


@pytest.mark.parametrize(
    ("before", "states"),
    [
        (sample("one", drawn(1, 2, 3, 4, annotation="9")), []),
        (sample("one", box()), []),
        (sample("one"), []),
        (sample("one", drawn(1, 2, 3, 4, annotation="1")), [State.SKIPPED]),
        (pool(state=State.PSEUDO), [State.SKIPPED]),
    ],
    ids=["labeled by another", "imported", "empty", "own answer withdrawn", "pseudo"],
)
def test_a_skip_of_a_labeled_image_keeps_the_labels_of_others(before, states):
    result = merge_answers([before], Answers([answer(skipped=True)]), 1)
    assert [s.state for s in result.samples] == states
    kept = (image_id("one"), "skipped by ann; the labels it has are kept")
    assert (kept in result.notes) == (not states)


def test_the_same_answer_again_makes_no_row_even_through_the_table():
    boxes = (drawn(1 / 3, 2.2, 30.7, 40.1), drawn(0.1, 0.2, 0.7, 0.9, label="nut"))
    boxes = samples_from_table(samples_to_table([sample("one", *boxes)]))[0].boxes
    given = answer("one", *boxes, ignore=(Region(0, 0, 5, 5, "unknown_label"),))
    (row,) = merge_answers([pool()], Answers([given]), 1).samples
    stored = samples_from_table(samples_to_table([row]))
    again = merge_answers(stored, Answers([given]), 2)
    assert again.samples == ()
    assert again.counts["answered"] == 1


@pytest.mark.parametrize(
    "changed",
    [drawn(1, 2, 30, 41), drawn(1, 2, 30, 40, label="nut"), drawn(1, 2, 30, 40, source=Source.ACCEPTED)],
    ids=["place", "label", "source"],
)
def test_a_changed_mind_makes_a_row(changed):
    before = sample("one", FIRST)
    assert merge_answers([before], Answers([answer("one", FIRST, number="7", after=9)]), 1).samples == ()
    assert [s.boxes for s in merge_answers([before], Answers([answer("one", changed)]), 1).samples] == [(changed,)]


def test_crowds_of_an_import_stay_ignored_and_unknown_labels_join_them():
    crowd, unsure = Region(0, 0, 5, 5, "crowd"), Region(9, 9, 20, 20, "unsure")
    unknown = Region(50, 50, 60, 60, "unknown_label")
    given = answer("one", FIRST, ignore=(unknown,), notes=("region a: turned by 30 degrees",))
    result = merge_answers([pool(ignore=(crowd, unsure))], Answers([given]), 1)
    (after,) = result.samples
    assert after.ignore == (crowd, unknown)
    assert after.note == "region a: turned by 30 degrees"
    assert result.notes == ((image_id("one"), "annotation 1, region a: turned by 30 degrees"),)


@pytest.mark.parametrize(
    ("rows", "note"),
    [([], "not in the sample table"), ([pool(state=State.QUARANTINED, note="truncated")], "quarantined: truncated")],
)
def test_answers_that_fit_no_usable_image_are_noted(rows, note):
    result = merge_answers(rows, Answers([answer("one", FIRST)]), 1)
    assert result.samples == ()
    assert [where for where, _ in result.notes] == [image_id("one")]
    assert note in result.notes[0][1]
