from dataclasses import replace

import pytest

from pipeline.labeling.feedback.reviews import reviewed
from pipeline.records import Answer, Region, Source, State
from tests.builders import MOMENT, box, image_id, sample

ANN = box(10, 10, 50, 50, source=Source.HUMAN, box_id="ann", annotator="ann", annotation_id="1")
MACHINE = box(60, 60, 90, 90, source=Source.ACCEPTED, box_id="machine", model_id="m", score=0.7, p_correct=0.8,
              proposal_id="p7", annotator="ann", annotation_id="1")  # fmt: skip
ROW = sample("one", ANN, MACHINE)
SHOWN = {"ann": ANN, "machine": MACHINE}


def said(*boxes, **fields):
    return Answer(image_id("one"), "r1", "bea", False, boxes, MOMENT, MOMENT, **fields)


def left(label):
    return replace(label, source=Source.ACCEPTED, annotator="bea", annotation_id="r1", proposal_id=label.box_id,
                   box_id=f"new {label.box_id}", p_correct=0.5)  # fmt: skip


def moved(label, **fields):
    return replace(left(label), source=Source.CORRECTED, x1=label.x1 + 9, **fields)


NEW = box(100, 100, 120, 120, source=Source.HUMAN, box_id="new", annotator="bea", annotation_id="r1")


def test_what_is_left_as_it_was_changes_nothing():
    assert reviewed(ROW, SHOWN, said(left(MACHINE), left(ANN)), {"r1"}).row is None


def test_a_mended_label_is_the_reviewers_and_the_others_stay_whose_they_were():
    row = reviewed(ROW, SHOWN, said(left(ANN), moved(MACHINE), NEW), {"r1"}).row
    kept, mended, new = row.boxes
    assert (kept, new) == (ANN, NEW)
    assert (mended.x1, mended.source, mended.annotator) == (69, Source.CORRECTED, "bea")
    assert (mended.model_id, mended.score, mended.p_correct, mended.proposal_id) == ("m", 0.7, 0.8, "p7")
    assert (row.split, row.state) == (ROW.split, State.LABELED)


def test_a_label_that_no_machine_drew_is_still_known_by_what_it_was():
    row = reviewed(ROW, SHOWN, said(moved(ANN), left(MACHINE)), {"r1"}).row
    assert (row.boxes[0].model_id, row.boxes[0].p_correct, row.boxes[0].proposal_id) == (None, None, "ann")


def test_deleted_labels_are_gone_and_ignored_regions_stay():
    crowd, unknown = Region(0, 0, 9, 9, "crowd"), Region(1, 1, 5, 5, "unknown_label")
    row = reviewed(replace(ROW, ignore=(crowd,)), SHOWN, said(left(ANN), ignore=(unknown, crowd)), {"r1"}).row
    assert row.boxes == (ANN,)
    assert row.ignore == (crowd, unknown)


def test_a_second_word_of_the_same_review_counts():
    first = reviewed(ROW, SHOWN, said(left(ANN), moved(MACHINE)), {"r1"}).row
    again = reviewed(first, SHOWN, said(left(ANN), left(MACHINE)), {"r1"}).row
    assert again.boxes == (ANN, MACHINE)


@pytest.mark.parametrize(
    ("row", "note"),
    [
        (None, "no labelled image"),
        (replace(ROW, state=State.QUEUED, boxes=()), "no labelled image"),
        (replace(ROW, boxes=(box(0, 0, 9, 9, box_id="later", annotation_id="2"),)), "have changed since"),
    ],
)
def test_a_review_of_labels_that_are_no_more_is_left_out(row, note):
    outcome = reviewed(row, SHOWN, said(left(ANN)), {"r1"})
    assert outcome.row is None
    assert note in outcome.note


def test_a_box_that_began_as_no_label_is_left_out():
    assert "have changed since" in reviewed(ROW, SHOWN, said(replace(left(ANN), proposal_id="x")), {"r1"}).note
