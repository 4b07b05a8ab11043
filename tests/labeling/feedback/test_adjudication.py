from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.labeling.feedback.adjudication import settle
from pipeline.labeling.feedback.agreement import agreement, consensus, same_boxes
from pipeline.labeling.feedback.merge import Answers, merge_answers
from pipeline.records import Answer, Region, Source, Split, State
from pipeline.settings.labeling import LabelingSettings
from tests.builders import MOMENT, box, image_id, sample

A, NEAR, FAR = box(0, 0, 10, 10), box(0, 0, 10, 8), box(50, 50, 60, 60)


def answer(who, *boxes, after=0, number=None, **fields):
    moment = MOMENT + timedelta(seconds=after)
    number = number or f"{who}{after}"
    return Answer(image_id("one"), number, who, fields.pop("skipped", False), boxes, moment, moment, **fields)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([], [], 1.0),
        ([A], [], 0.0),
        ([A], [A], 1.0),
        ([A], [NEAR], 0.8),
        ([A], [replace(A, label="nut")], 0.0),
        ([A], [FAR], 0.0),
        ([A, FAR], [A], 2 / 3),
        ([A, A], [A], 2 / 3),
        ([A], [box(0, 0, 10, 4)], 0.0),
    ],
)
def test_agreement_is_matched_iou_over_all_boxes(first, second, expected):
    assert agreement(first, second, 0.5) == pytest.approx(expected)
    assert agreement(second, first, 0.5) == pytest.approx(expected)


def test_pairs_are_those_of_the_greatest_overlap_in_all():
    one, two = box(0, 0, 10, 10), box(2, 0, 12, 10)
    assert [pair[:2] for pair in same_boxes([one, two], [two, one], 0.5)] == [(0, 1), (1, 0)]
    assert same_boxes([], [A], 0.5) == []


def test_a_consensus_holds_what_most_people_drew_and_ignores_the_rest():
    other = replace(FAR, label="nut")
    given = [
        answer("ann", A, FAR, after=0, ignore=(Region(1, 1, 2, 2, "unknown_label"),)),
        answer("ben", NEAR, after=1, notes=("region a: clipped",)),
        answer("cat", replace(A, source=Source.ACCEPTED), other, after=2),
    ]
    agreed = consensus(given, 0.5)
    (found,) = agreed.boxes
    assert found.xyxy == pytest.approx((0, 0, 10, 28 / 3))
    assert found.source is Source.IMPORT, "the most frequent source"
    assert {(region.reason, region.xyxy) for region in agreed.ignore} == {
        ("unknown_label", (1, 1, 2, 2)),
        ("disputed", FAR.xyxy),
    }
    assert agreed.notes == ("region a: clipped",)
    assert (agreed.annotator, agreed.annotation_id) == ("cat", "cat2")
    assert consensus([given[0]], 0.5) == given[0]
    assert consensus([answer("ann"), answer("ben", after=1)], 0.5).boxes == ()


@pytest.mark.parametrize(
    ("policy", "given", "boxes"),
    [
        ("latest", [answer("ann", A), answer("ben", FAR, after=1)], (FAR,)),
        ("latest", [answer("ann", A), answer("ben", skipped=True, after=1)], (A,)),
        ("consensus", [answer("ann", A), answer("ben", FAR, after=1)], ()),
        ("consensus", [answer("ann", A), answer("ann", FAR, after=1, number="x")], (FAR,)),
        ("ask_again", [answer("ann", A), answer("ben", NEAR, after=1)], (NEAR,)),
        ("ask_again", [answer("ann", A), answer("ben", FAR, after=1)], None),
        ("ask_again", [answer("ann", A), answer("ben", FAR, after=1), answer("cat", A, after=2)], (A,)),
        ("ask_again", [answer("ann", A), answer("ben", A, after=1), answer("cat", FAR, after=2)], (A,)),
    ],
)
def test_whose_words_count(policy, given, boxes):
    verdict = settle(given, LabelingSettings(several_answers=policy))
    assert (verdict.answer.boxes if verdict.answer else None) == boxes


@pytest.mark.parametrize(
    ("given", "disputed"),
    [
        ([answer("ann", A)], ()),
        ([answer("ann"), answer("ben", after=1)], ()),
        ([answer("ann", A), answer("ben", NEAR, after=1)], ()),
        ([answer("ann", A), answer("ben", FAR, after=1)], ("latest", "consensus", "ask_again")),
        ([answer("ann", A), answer("ben", after=1)], ("latest", "consensus", "ask_again")),
        ([answer("ann", A), answer("ben", skipped=True, after=1)], ()),
        ([answer("ann", A), answer("ben", FAR, after=1), answer("cat", A, after=2)], ()),
        ([answer("ann", A), answer("ben", A, after=1), answer("cat", FAR, after=2)], ("latest",)),
    ],
)
def test_people_disagree_where_nobody_shares_the_view_that_counts(given, disputed):
    for policy in ("latest", "consensus", "ask_again"):
        rules = LabelingSettings(several_answers=policy)
        assert settle(given, rules).disputed == (policy in disputed)
        merged = merge_answers([sample("one", split=Split.POOL, state=State.QUEUED)], Answers(given), None, rules)
        one = (image_id("one"),)
        assert (merged.disputed, merged.settled) == ((one, ()) if policy in disputed else ((), one))


def test_nobody_answered():
    assert settle([answer("ann", skipped=True)], LabelingSettings()) is None


def test_disputed_images_wait_and_val_keeps_its_labels():
    rules = LabelingSettings(several_answers="ask_again")
    given = [answer("ann", A), answer("ben", FAR, after=1)]
    told = merge_answers([sample("one", A, split=Split.TRAIN)], Answers(given), 1, rules)
    (row,) = told.samples
    assert (row.state, row.split, row.boxes) == (State.QUEUED, Split.POOL, ())
    assert (told.ask_again, told.agreements) == ((image_id("one"),), (0.0,))
    told = merge_answers([sample("one", A, split=Split.VAL)], Answers(given), 1, rules)
    assert (told.samples, told.ask_again) == ((), (image_id("one"),))


def held(*boxes, **fields):
    return sample("one", *(replace(b, annotation_id="gone") for b in boxes), **fields)


@pytest.mark.parametrize(
    ("row", "becomes", "note"),
    [
        (held(A), (State.POOL, Split.POOL), "back to the pool"),
        (held(), (State.POOL, Split.POOL), "back to the pool"),
        (held(state=State.SKIPPED, split=Split.POOL), (State.POOL, Split.POOL), "back to the pool"),
        (held(A, split=Split.TEST), None, "an image of test keeps its labels"),
        (sample("one", A), None, None),
        (held(state=State.PSEUDO, split=Split.POOL), None, None),
    ],
    ids=["answered", "answered as empty", "skipped", "test", "imported", "used otherwise"],
)
def test_answers_that_were_deleted(row, becomes, note):
    told = merge_answers([row], Answers([], gone={image_id("one"): {"gone"}}), 3)
    assert [(one.state, one.split) for one in told.samples] == ([becomes] if becomes else [])
    assert [text.endswith(note) for _, text in told.notes] == ([True] if note else [])
    assert told.counts == {"answered": 0, "skipped": 0, "empty": 0}


def test_a_deleted_answer_leaves_the_others():
    told = merge_answers([held(A)], Answers([], standing=[answer("ben", FAR)], gone={image_id("one"): {"gone"}}), 3)
    assert [row.boxes for row in told.samples] == [(FAR,)]
    told = merge_answers([held(A)], Answers([answer("ben", skipped=True)], gone={image_id("one"): {"gone"}}), 3)
    assert [row.state for row in told.samples] == [State.SKIPPED]
