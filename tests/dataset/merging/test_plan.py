"""What a merge changes, for any two tables."""

from __future__ import annotations

from dataclasses import replace
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.merging.incoming import Incoming
from pipeline.dataset.merging.plan import commit_merge, disputed_images, merge_plan
from pipeline.dataset.merging.settling import Conflicts, Outcome
from pipeline.dataset.near_duplicates import distances, pack_fingerprints
from pipeline.dataset.store import SampleStore
from pipeline.records import Sample, Source, Split, State
from tests.builders import box, image_id, sample

BITS = 10
BOXES = [box(source=Source.HUMAN), box(100, 100, 150, 150, source=Source.HUMAN), box(30, 30, 60, 60)]
LEARNING = {Split.TRAIN, Split.POOL}


def print_of(scene: int, bits: int) -> str:
    """Scenes are far apart; of one scene, images differ in so many bits."""
    return f"{int(image_id(str(scene)), 16) ^ ((1 << bits) - 1):064x}"


@st.composite
def images(draw, names):
    made = []
    for name in draw(st.lists(st.sampled_from(names), max_size=6, unique=True)):
        boxes = draw(st.lists(st.sampled_from(BOXES), max_size=2, unique=True))
        labeled = draw(st.booleans())
        split = draw(st.sampled_from([Split.TRAIN, Split.VAL, Split.TEST])) if labeled else Split.POOL
        state = State.LABELED if labeled else State.POOL
        row = sample(name, *(boxes if labeled else ()), split=split, state=state)
        made.append(replace(row, fingerprint=print_of(int(name) // 3, int(name) % 3)))
    return made


NAMES = [str(number) for number in range(12)]
both = st.tuples(images(NAMES), images(NAMES), st.sampled_from(Conflicts))


def table_of(folder: str, rows: list[Sample]) -> SampleStore:
    """As an import leaves it: near-duplicates of evaluated images are in quarantine."""
    store = SampleStore(f"{folder}/samples")
    store.commit([sample("start", split=Split.POOL, state=State.POOL)], reason="start", key="start")
    plan = merge_plan(store, Incoming("first", tuple(rows)), Conflicts.REVIEW, BITS)
    commit_merge(store, plan)
    return store


def usable(rows: list[Sample]) -> list[Sample]:
    return [row for row in rows if row.state is not State.QUARANTINED]


@settings(max_examples=60, deadline=None)
@given(drawn=both)
def test_a_merge_leaks_nothing_loses_nothing_and_is_done_once(drawn):
    ours, theirs, conflicts = drawn
    with TemporaryDirectory() as folder:
        store = table_of(folder, ours)
        before = {row.image_id: row for row in store.samples()}
        plan = merge_plan(store, Incoming("other", tuple(theirs)), conflicts, BITS)
        assert {row.image_id: row for row in store.samples()} == before, "a plan writes nothing"
        version = commit_merge(store, plan)
        after = {row.image_id: row for row in store.samples()}

        assert after.keys() == before.keys() | {row.image_id for row in theirs}
        for row in (*usable(list(before.values())), *theirs):
            if row.split is Split.TEST:
                now = after[row.image_id]
                assert now.split is Split.TEST or now.state is State.QUARANTINED
        rows = usable(list(after.values()))
        packed = pack_fingerprints([row.fingerprint for row in rows])
        for place, row in enumerate(rows):
            near = [rows[other] for other in (distances(packed[place], packed) <= BITS).nonzero()[0]]
            assert {other.group_id for other in near} == {row.group_id}
            assert len({"learning" if other.split in LEARNING else other.split for other in near}) == 1
        for image, row in before.items():
            by_people = any(box.source is Source.HUMAN for box in row.boxes)
            if by_people and conflicts is not Conflicts.THEIRS:
                assert after[image].boxes == row.boxes

        again = merge_plan(store, Incoming("other", tuple(theirs)), conflicts, BITS)
        assert (again.rows, again.disputed) == ((), [])
        assert commit_merge(store, again) == version


@pytest.fixture
def store(tmp_path):
    return table_of(str(tmp_path), [sample("a", BOXES[0]), sample("b", BOXES[0], split=Split.TEST)])


def outcomes(plan):
    return {change.image_id: change.outcome for change in plan.changes}


def test_the_commit_says_where_it_came_from_and_why(store):
    incoming = Incoming("/data/other", (sample("a", BOXES[1]), sample("c", BOXES[2])))
    plan = merge_plan(store, incoming, Conflicts.REVIEW, BITS)
    assert outcomes(plan) == {image_id("a"): Outcome.DISPUTED, image_id("c"): Outcome.NEW}
    commit_merge(store, plan, "settings")
    version = store.history()[-1]
    assert version.reason == "merge of /data/other: 1 new, 1 to review"
    assert (version.details["source"], version.settings_digest) == ("/data/other", "settings")
    assert disputed_images(store) == {image_id("a"): "/data/other"}
    assert store.by_ids([image_id("a")])[0].boxes == (BOXES[0],)


def test_labels_in_dispute_alone_make_a_version_that_names_them(store):
    before = store.version()
    plan = merge_plan(store, Incoming("other", (sample("a", BOXES[1]),)), Conflicts.REVIEW, BITS)
    assert plan.rows == ()
    assert commit_merge(store, plan) == before + 1
    store.restore(before, "undone")
    assert disputed_images(store) == {}


def test_a_near_duplicate_of_what_is_tested_on_is_put_in_quarantine_and_named(store):
    copy = replace(sample("copy", BOXES[0]), fingerprint=f"{int(image_id('b'), 16) ^ 1:064x}")
    plan = merge_plan(store, Incoming("other", (copy,)), Conflicts.OURS, BITS)
    assert outcomes(plan) == {image_id("copy"): Outcome.APART}
    assert "near-duplicate of /images/b.jpg in test" in plan.changes[0].detail
    assert plan.rows[0].state is State.QUARANTINED


def test_an_image_here_that_is_close_to_their_test_is_named_too(store):
    """What they test on is not learnt from here."""
    close = replace(sample("close", BOXES[0], split=Split.TEST), fingerprint=f"{int(image_id('a'), 16) ^ 1:064x}")
    plan = merge_plan(store, Incoming("other", (close,)), Conflicts.OURS, BITS)
    assert outcomes(plan) == {image_id("close"): Outcome.NEW, image_id("a"): Outcome.APART}


def test_an_image_of_train_that_they_test_on_is_told_of(store):
    theirs = Incoming("other", (sample("a", BOXES[0], split=Split.TEST),))
    (change,) = merge_plan(store, theirs, Conflicts.OURS, BITS).changes
    assert change.detail.startswith("from train to test; models that learnt from it are flattered")


def test_groups_of_the_source_join_the_group_here(store):
    """Though the image between them is not in either table any more."""
    group = image_id("theirs")
    theirs = (replace(sample("a", BOXES[0]), group_id=group), replace(sample("d", BOXES[0]), group_id=group))
    commit_merge(store, merge_plan(store, Incoming("other", theirs), Conflicts.OURS, BITS))
    here, new = store.by_ids([image_id("a"), image_id("d")])
    assert here.group_id == new.group_id
