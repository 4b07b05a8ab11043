"""One image with two sets of labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.dataset.merging.settling import Conflicts, Outcome, same_labels, settle
from pipeline.records import Region, Source, Split, State
from tests.builders import box, sample

DRAWN, IMPORTED = box(source=Source.HUMAN), box(source=Source.IMPORT)
ELSEWHERE = box(100, 100, 150, 150, source=Source.HUMAN)
REVIEW, OURS, THEIRS = Conflicts.REVIEW, Conflicts.OURS, Conflicts.THEIRS


def pooled(**fields):
    return sample("one", split=Split.POOL, state=State.POOL, **fields)


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome", "boxes"),
    [
        (sample("one", DRAWN), pooled(), Outcome.KNOWN, (DRAWN,)),
        (pooled(), pooled(), Outcome.KNOWN, ()),
        (pooled(), sample("one", IMPORTED), Outcome.LABELED, (IMPORTED,)),
        (replace(pooled(), state=State.SKIPPED), sample("one", IMPORTED), Outcome.LABELED, (IMPORTED,)),
        (replace(pooled(), state=State.PSEUDO, boxes=(box(),)), sample("one"), Outcome.LABELED, ()),
        (sample("one", IMPORTED), sample("one", DRAWN), Outcome.KNOWN, (IMPORTED,)),
        (sample("one", IMPORTED), sample("one", ELSEWHERE), Outcome.THEIRS, (ELSEWHERE,)),
        (sample("one", DRAWN), sample("one", box(1, 1, 9, 9)), Outcome.OURS, (DRAWN,)),
        (sample("one", IMPORTED), sample("one", cycle=2), Outcome.THEIRS, ()),
        (sample("one", state=State.QUARANTINED), sample("one", DRAWN), Outcome.QUARANTINED, ()),
    ],
    ids=[
        "only ours", "nobody's", "theirs for the pool", "theirs for a skip", "theirs for a machine's", "the same",
        "people before imports", "our people before imports", "an answer that nothing is there", "quarantined",
    ],
)  # fmt: skip
@pytest.mark.parametrize("conflicts", Conflicts)
def test_labels_that_are_worth_more_stand(ours, theirs, outcome, boxes, conflicts):
    settled = settle(ours, theirs, conflicts)
    assert (settled.outcome, settled.row.boxes) == (outcome, boxes)
    assert (settled.row.image_id, settled.row.uri) == (ours.image_id, ours.uri)


@pytest.mark.parametrize(
    ("conflicts", "outcome", "boxes"),
    [(REVIEW, Outcome.DISPUTED, (DRAWN,)), (OURS, Outcome.OURS, (DRAWN,)), (THEIRS, Outcome.THEIRS, (ELSEWHERE,))],
)
def test_two_peoples_answers_are_decided_by_who_asks(conflicts, outcome, boxes):
    settled = settle(sample("one", DRAWN), sample("one", ELSEWHERE), conflicts)
    assert (settled.outcome, settled.row.boxes) == (outcome, boxes)


@pytest.mark.parametrize("conflicts", Conflicts)
@pytest.mark.parametrize("mine", Split)
@pytest.mark.parametrize("other", [Split.TRAIN, Split.VAL, Split.TEST])
def test_an_image_is_on_the_stricter_side_whoever_wins(mine, other, conflicts):
    ours = pooled() if mine is Split.POOL else sample("one", DRAWN, split=mine)
    split = settle(ours, sample("one", ELSEWHERE, split=other), conflicts).row.split
    assert split is next(side for side in (Split.TEST, Split.VAL, Split.TRAIN) if side in {mine, other})


def test_images_of_test_are_never_sent_to_review():
    """Mended where the machine disagrees they would flatter it, so that the labels here stay."""
    settled = settle(sample("one", DRAWN), sample("one", ELSEWHERE, split=Split.TEST), REVIEW)
    assert (settled.outcome, settled.row.split) == (Outcome.OURS, Split.TEST)


def test_crowds_stay_ignored_with_their_labels():
    crowd, unsure = Region(0, 0, 9, 9, "crowd"), Region(1, 1, 5, 5, "unsure")
    ours = sample("one", IMPORTED, ignore=(crowd, unsure))
    assert settle(ours, sample("one", ELSEWHERE), REVIEW).row.ignore == (crowd,)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ([], [], True),
        ([box()], [], False),
        ([], [box()], False),
        ([box(), ELSEWHERE], [ELSEWHERE, box(10.2, 20.4, 50, 59.6)], True),
        ([box()], [box(11, 20, 50, 60)], False),
        ([box()], [box(label="nut")], False),
        ([box(), box()], [box(), ELSEWHERE], False),
    ],
)
def test_labels_are_the_same_within_what_formats_round(left, right, same):
    assert same_labels(left, right) is same
