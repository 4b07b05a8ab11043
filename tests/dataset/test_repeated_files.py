from dataclasses import replace

import pytest

from pipeline.dataset.formats.entry import ImportResult
from pipeline.dataset.repeated_files import is_repeat, keep_one_a_file, settle_with_table
from pipeline.records import Source, Split, State
from tests.builders import box, sample

OTHER = box(1, 1, 9, 9)


def pool(uri="/pool/a.jpg", **fields):
    return sample("a", split=Split.POOL, **{"state": State.POOL, "uri": uri, **fields})


def labeled(*boxes, uri="/train/a.jpg", **fields):
    return sample("a", *(boxes or [box()]), uri=uri, **fields)


def settle(*samples, row=None):
    rows = {row.image_id: row} if row else {}
    return settle_with_table(samples, rows)


def test_nothing_gives_nothing():
    assert keep_one_a_file([], rank=str) == ImportResult((), ())
    assert settle() == ImportResult((), ())


def test_the_lowest_rank_is_kept_in_the_first_place():
    one, two, three = labeled(uri="/1.jpg"), sample("b"), labeled(uri="/3.jpg")
    result = keep_one_a_file([one, two, three], rank=lambda s: s.uri != "/3.jpg")
    assert result.samples == (three, two)
    assert [(issue.uri, issue.action) for issue in result.issues] == [("/1.jpg", "left_out")]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (pool(), labeled(), 1),
        (labeled(), pool(), 0),
        (labeled(split=Split.TRAIN), labeled(split=Split.VAL, uri="/v.jpg"), 1),
        (labeled(split=Split.TEST), labeled(split=Split.VAL, uri="/v.jpg"), 0),
        (labeled(split=Split.TEST, state=State.QUARANTINED), pool(), 1),
        (labeled(uri="/1.jpg"), labeled(uri="/2.jpg"), 0),
    ],
)
def test_among_new_files(first, second, kept):
    result = settle(first, second)
    assert result.samples == ((first, second)[kept],)
    assert [issue.uri for issue in result.issues] == [(first, second)[1 - kept].uri]


def test_a_pool_folder_may_hold_the_labeled_images():
    one = labeled(uri="/all/a.jpg")
    assert settle(pool("/all/a.jpg"), one) == ImportResult((one,), ())


BY_HAND = labeled(box(source=Source.HUMAN), uri="/pool/a.jpg", cycle=1)
EMPTY_BY_HAND = sample("a", uri="/pool/a.jpg", cycle=1)


@pytest.mark.parametrize(
    ("row", "new", "replaced"),
    [
        (pool(), labeled(), True),
        (replace(pool(), state=State.QUEUED), labeled(), True),
        (replace(pool(), state=State.SKIPPED), labeled(), True),
        (replace(pool(), state=State.PSEUDO), labeled(uri="/pool/a.jpg"), True),
        (labeled(), labeled(OTHER), True),
        (labeled(uri="/old.jpg", state=State.QUARANTINED, note="x"), labeled(), True),
        (labeled(), labeled(split=Split.TEST), True),
        (BY_HAND, labeled(OTHER, split=Split.TEST), True),
        (BY_HAND, labeled(OTHER), False),
        (EMPTY_BY_HAND, labeled(OTHER), False),
        (labeled(split=Split.TEST), labeled(OTHER), False),
        (labeled(), pool(), False),
        (pool("/old/a.jpg"), pool(), False),
        (labeled(), labeled(state=State.QUARANTINED, note="x"), False),
    ],
)
def test_against_the_table(row, new, replaced):
    result = settle(new, row=row)
    assert result.samples == ((new,) if replaced else ())
    assert [issue.uri for issue in result.issues] == [row.uri if replaced else new.uri]


@pytest.mark.parametrize("new", [labeled(), labeled(state=State.QUARANTINED, note="y")])
def test_a_quarantined_file_is_renewed_without_a_word(new):
    assert settle(new, row=labeled(state=State.QUARANTINED, note="x")) == ImportResult((new,), ())


def test_labels_that_differ_from_those_of_people_are_pointed_out():
    (issue,) = settle(labeled(OTHER), row=BY_HAND).issues
    assert "same bytes as /pool/a.jpg (labeled in train), which is kept; their boxes differ (1 and 1)" in issue.detail


@pytest.mark.parametrize(
    ("row", "new", "expected"),
    [
        (None, pool(), False),
        (pool(), pool(), True),
        (pool("/elsewhere.jpg"), pool(), False),
        (replace(pool(), state=State.QUEUED), pool(), True),
        (replace(pool(), state=State.PSEUDO), pool(), True),
        (BY_HAND, pool(), True),
        (pool(state=State.QUARANTINED, note="near-duplicate"), pool(), False),
        (labeled(), labeled(), True),
        (labeled(box(source=Source.HUMAN)), labeled(), True),
        (labeled(), labeled(OTHER), False),
        (labeled(), labeled(split=Split.VAL), False),
        (labeled(), labeled(group_id="other"), False),
        (labeled(note="told before"), labeled(), True),
        (labeled(state=State.QUARANTINED, note="x"), labeled(state=State.QUARANTINED, note="x"), True),
        (labeled(state=State.QUARANTINED, note="x"), labeled(state=State.QUARANTINED, note="y"), False),
    ],
)
def test_what_is_a_repeat(row, new, expected):
    assert is_repeat(new, row) == expected
    if expected:
        assert settle(new, row=row) == ImportResult((), ())
