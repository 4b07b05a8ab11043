"""Which member may learn what."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.artefacts import CommitteeRun
from pipeline.errors import DataError
from pipeline.records import Split, State
from pipeline.selection.cross_fitting import Committee, Folds, deal, lessons
from tests.builders import sample


def labeled(count, first=0):
    return [sample(f"image {number}") for number in range(first, first + count)]


def pool(count):
    return [sample(f"pool {number}", split=Split.POOL, state=State.PSEUDO) for number in range(count)]


def committee(folds, *, learnt=(), then=()):
    """A committee of before, which saw some images in groups of their own time."""
    groups = {one.image_id: one.group_id for one in then}
    dealt = Folds(folds.count, folds.dealt, groups)
    return Committee(CommitteeRun(dataset_version=0, members=()), dealt, frozenset(one.image_id for one in learnt))


# Folds


@pytest.mark.parametrize(("images", "count"), [(12, 2), (12, 3), (13, 5), (3, 2)])
def test_labelled_images_are_dealt_to_folds_of_equal_size(images, count):
    shares = deal(labeled(images), count).shares(labeled(images))
    assert sum(map(len, shares)) == images
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_near_duplicates_are_in_one_fold_and_fill_it():
    family = [sample(f"twin {number}", group_id="a family") for number in range(6)]
    folds = deal([*family, *labeled(6)], 2)
    assert len({folds.of_sample(one) for one in family}) == 1
    assert [len(share) for share in folds.shares([*family, *labeled(6)])] == [6, 6]


def test_folds_do_not_depend_on_the_order_of_images():
    assert deal(labeled(20), 3) == deal(labeled(20)[::-1], 3)


def test_an_image_stays_in_its_fold_whatever_is_labelled_later():
    """Those that were dealt keep their place; one of the pool has its place before anybody labels it."""
    folds = deal(labeled(10), 3)
    before = {one.image_id: folds.of_sample(one) for one in [*labeled(10), *pool(30)]}
    later = Folds(folds.count, folds.dealt)
    assert {one.image_id: later.of_sample(one) for one in [*labeled(10), *pool(30)]} == before


def test_the_pool_is_spread_over_all_folds():
    sizes = Counter(map(deal(labeled(4), 3).of_sample, pool(300)))
    assert min(sizes.values()) > 70


def test_one_fold_holds_every_image():
    assert {Folds().of_sample(one) for one in labeled(20)} == {0}


# Lessons


def test_a_member_learns_no_image_of_its_fold_from_people():
    folds = deal(labeled(9), 3)
    for lesson in lessons(folds, None, labeled(9), [], []):
        assert {folds.of_sample(one) for one in lesson.held_back} == {lesson.fold}
        assert {folds.of_sample(one) for one in lesson.samples} == {0, 1, 2} - {lesson.fold}
        assert len(lesson.samples) + len(lesson.held_back) == 9
        assert not lesson.goes_on


def test_nobody_learns_val_and_every_image_of_it_is_held_back():
    val = [sample(f"val {number}", split=Split.VAL) for number in range(8)]
    found = lessons(deal([*labeled(8), *val], 2), None, labeled(8), val, [])
    assert not any(one.split is Split.VAL for lesson in found for one in lesson.samples)
    held_back = [one.image_id for lesson in found for one in lesson.held_back]
    assert sorted(held_back) == sorted(one.image_id for one in [*labeled(8), *val])


def test_a_member_learns_the_pseudo_labels_that_it_wrote_and_no_others():
    """Of its part of the pool, and of its held-back images as if nobody had labelled them."""
    people, folds = labeled(6), deal(labeled(6), 2)
    of_held_back = [sample(f"image {number}", state=State.PSEUDO) for number in range(6)]
    before = committee(folds, learnt=people, then=[*people, *pool(20)])
    found = lessons(folds, before, people, [], [*pool(20), *of_held_back])
    for lesson in found:
        assert lesson.goes_on
        own = [one for one in lesson.samples if one.state is State.PSEUDO]
        assert {folds.of_sample(one) for one in own} == {lesson.fold}
        assert {one.split for one in own} == {Split.POOL, Split.TRAIN}
        assert len(lesson.samples) == len({one.image_id for one in lesson.samples})
    assert sum(one.state is State.PSEUDO for lesson in found for one in lesson.samples) == 26


def test_pseudo_labels_of_another_committee_teach_no_member():
    found = lessons(deal(labeled(6), 2), None, labeled(6), [], pool(20))
    assert not any(one.state is State.PSEUDO for lesson in found for one in lesson.samples)


def test_a_member_that_learnt_an_image_which_is_in_its_fold_now_begins_anew():
    """A new image joined two groups, so that one of the old images moved."""
    folds = deal(labeled(6), 2)
    moved, *others = sorted(labeled(6), key=folds.of_sample)
    target = next(one for one in others if folds.of_sample(one) == 1)
    now = [sample(f"image {number}") for number in range(6)]
    now = [sample("joined", group_id=target.group_id) if one.image_id == moved.image_id else one for one in now]
    renamed = [one for one in now if one.group_id == target.group_id and one.image_id != target.image_id]
    then = [*others, sample("joined", group_id=moved.group_id)]
    before = committee(folds, learnt=then, then=then)
    stays, begins = lessons(Folds(2, folds.dealt), before, now, [], pool(20))
    assert renamed
    assert renamed[0].image_id in {one.image_id for one in begins.held_back}
    assert stays.goes_on
    assert not begins.goes_on
    assert not any(one.state is State.PSEUDO for one in begins.samples)
    assert any(one.state is State.PSEUDO for one in stays.samples)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_for_the_folds_are_refused(count):
    with pytest.raises(DataError, match=r"in every fold of selection.committee 2, found \d.*committee: 1"):
        lessons(deal(labeled(count), 2), None, labeled(count), [], [])


def test_near_duplicates_alone_leave_nothing_to_learn():
    family = [sample(f"twin {number}", group_id="a family") for number in range(6)]
    with pytest.raises(DataError, match="found 6 that leave none to learn"):
        lessons(deal(family, 2), None, family, [], [])
