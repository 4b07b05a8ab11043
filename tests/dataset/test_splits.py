from collections import defaultdict
from dataclasses import replace
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.formats.entry import ImportResult
from pipeline.dataset.repeated_files import SIDES
from pipeline.dataset.splits import separate
from pipeline.dataset.store import SampleStore
from pipeline.records import ImportIssue, Source, Split, State, samples_from_table, samples_to_table
from tests.builders import box, image_id, sample
from tests.dataset.fingerprints import ZERO, flipped

FAR = "f" * 64


def image(name, split=Split.TRAIN, fingerprint=ZERO, **fields):
    state = State.POOL if split is Split.POOL else State.LABELED
    boxes = () if split is Split.POOL else (box(),)
    return sample(name, *boxes, split=split, state=state, fingerprint=fingerprint, **fields)


def run(*new, table=(), bits=10, issues=()):
    with TemporaryDirectory() as folder:
        store = SampleStore(folder)
        if table:
            store.commit(table, reason="import", key="import")
        return separate(ImportResult(tuple(new), tuple(issues)), bits, store)


def by_name(result):
    return {one.uri.rsplit("/", 1)[1].removesuffix(".jpg"): one for one in result.samples}


def after(result, table=()):
    """The table once the result is committed."""
    rows = {one.image_id: one for one in table}
    rows.update({one.image_id: one for one in result.samples})
    return [rows[key] for key in sorted(rows)]


def as_stored(*samples):
    return samples_from_table(samples_to_table(samples))


def test_nothing_gives_nothing():
    assert run() == ImportResult((), ())
    assert separate(ImportResult((), ()), 10) == ImportResult((), ())
    assert run(table=[image("a"), image("b", Split.TEST)]) == ImportResult((), ())


def test_images_far_apart_pass_unchanged():
    issue = ImportIssue("/x.jpg", "missing", "no such file", "left_out")
    new = (image("a"), image("b", Split.TEST, FAR))
    assert run(*new, issues=[issue]) == ImportResult(new, (issue,))


@pytest.mark.parametrize(
    ("splits", "quarantined"),
    [
        ([Split.TRAIN, Split.TRAIN], ""),
        ([Split.TRAIN, Split.POOL], ""),
        ([Split.TEST, Split.TEST], ""),
        ([Split.TRAIN, Split.TEST], "a"),
        ([Split.POOL, Split.TEST], "a"),
        ([Split.VAL, Split.POOL], "b"),
        ([Split.VAL, Split.TEST], "a"),
        ([Split.TRAIN, Split.POOL, Split.VAL], "ab"),
        ([Split.TRAIN, Split.TEST, Split.VAL], "ac"),
    ],
)
@pytest.mark.parametrize("bits", [0, 3])
def test_a_group_stays_on_its_first_side(splits, quarantined, bits):
    new = [
        image(name, split, flipped(ZERO, *range(bits * (name == "b"))))
        for name, split in zip("abc", splits, strict=False)
    ]
    result = run(*new, bits=10)
    found = by_name(result)
    assert {name for name, one in found.items() if one.state is State.QUARANTINED} == set(quarantined)
    assert len({one.group_id for one in found.values()}) == 1
    assert [issue.problem for issue in result.issues] == ["near_duplicate"] * len(quarantined)


def test_a_quarantined_image_keeps_its_boxes_and_says_why():
    (loser, _) = run(image("a"), image("b", Split.TEST, flipped(ZERO, 1, 2))).samples
    assert loser.state is State.QUARANTINED
    assert loser.boxes == (box(),)
    assert loser.note == "near-duplicate of /images/b.jpg in test (2 of 256 bits differ); it was labeled in train"


def test_the_nearest_image_is_named():
    far, near = image("b", Split.TEST, flipped(ZERO, *range(5))), image("c", Split.TEST, flipped(ZERO, 1))
    (loser, *_) = run(image("a"), far, near).samples
    assert "near-duplicate of /images/c.jpg in test (1 of 256 bits differ)" in loser.note


@pytest.mark.parametrize(("bits", "apart"), [(2, True), (3, False)])
def test_the_bound_is_included(bits, apart):
    result = run(image("a"), image("b", fingerprint=flipped(ZERO, 1, 2, 3)), bits=bits)
    assert (len({one.group_id for one in result.samples}) == 2) == apart


def test_images_that_cannot_be_compared_stay_out():
    broken = image("a", fingerprint="")
    bad = replace(image("b"), state=State.QUARANTINED, note="torn")
    assert run(broken, bad, image("c", Split.TEST)).samples == (broken, bad, image("c", Split.TEST))


def test_a_new_image_joins_the_group_of_the_table():
    row = image("b", group_id="z-first")
    (found,) = run(image("a", fingerprint=flipped(ZERO, 1)), table=[row]).samples
    assert (found.uri, found.group_id) == ("/images/a.jpg", "z-first")


def test_a_new_image_can_bridge_two_groups_of_the_table():
    left = image("l", fingerprint=flipped(ZERO, *range(8)), group_id="g2")
    right = image("r", fingerprint=flipped(ZERO, *range(100, 108)), group_id="g1")
    found = by_name(run(image("a"), table=as_stored(left, right)))
    assert {name: one.group_id for name, one in found.items()} == {"a": "g1", "l": "g1"}
    assert found["l"].boxes == as_stored(left)[0].boxes


def test_a_new_test_image_sends_rows_of_the_table_into_quarantine():
    row = image("b", Split.TRAIN, group_id="g")
    row = replace(row, boxes=(box(source=Source.HUMAN, annotation_id="7"),), cycle=2)
    result = run(image("a", Split.TEST), table=[row])
    found = by_name(result)
    assert (found["a"].state, found["a"].group_id) == (State.LABELED, "g")
    assert (found["b"].state, found["b"].cycle) == (State.QUARANTINED, 2)
    assert found["b"].boxes[0].annotation_id == "7"
    assert "near-duplicate of /images/a.jpg in test" in result.issues[0].detail


def test_a_new_train_image_gives_way_to_a_test_row():
    result = run(image("a"), table=[image("b", Split.TEST)])
    (found,) = result.samples
    assert (found.uri, found.state) == ("/images/a.jpg", State.QUARANTINED)


def test_the_same_import_again_changes_nothing():
    new = (
        image("a"),
        image("b", Split.TEST, flipped(ZERO, 1)),
        image("c", Split.POOL, FAR),
        image("d", Split.TRAIN, flipped(FAR, 1)),
        replace(image("e"), state=State.QUARANTINED, note="torn", fingerprint="", boxes=()),
    )
    table = after(run(*new))
    again = run(*new, table=table)
    assert again.samples == ()
    assert {issue.problem for issue in again.issues} == {"near_duplicate"}


def test_a_file_that_was_fixed_comes_out_of_quarantine():
    bad = replace(image("a"), state=State.QUARANTINED, note="box outside", boxes=())
    (found,) = run(image("a"), table=[bad]).samples
    assert (found.state, len(found.boxes)) == (State.LABELED, 1)


def test_one_file_in_two_sources_goes_to_test():
    result = run(image("a", Split.POOL, uri="/pool/a.jpg"), image("a", Split.TEST, uri="/test/a.jpg"))
    assert [(one.uri, one.split) for one in result.samples] == [("/test/a.jpg", Split.TEST)]
    assert [(issue.uri, issue.problem) for issue in result.issues] == [("/pool/a.jpg", "duplicate")]


SHAPES = [ZERO, flipped(ZERO, 1, 2), flipped(ZERO, 1, 2, 3, 4), flipped(ZERO, 3, 4), FAR, flipped(FAR, 9)]
images = st.builds(
    image,
    st.sampled_from("abcdefghijkl"),
    st.sampled_from(list(Split)),
    st.sampled_from(SHAPES),
)


@given(first=st.lists(images, max_size=8), second=st.lists(images, max_size=8), bits=st.sampled_from([0, 2, 4]))
def test_no_group_straddles_two_sides(first, second, bits):
    table: list = []
    for batch in (first, second):
        result = run(*batch, table=table, bits=bits)
        assert len({one.image_id for one in result.samples}) == len(result.samples)
        assert run(*batch, table=table, bits=bits) == result
        table = as_stored(*after(result, table))
        groups, sides = defaultdict(set), defaultdict(set)
        for one in table:
            if one.state is not State.QUARANTINED:
                groups[one.fingerprint].add(one.group_id)
                sides[one.group_id].add(SIDES[one.split])
        assert all(len(found) == 1 for found in sides.values())
        usable = [one for one in table if one.state is not State.QUARANTINED]
        for one in usable:
            for other in usable:
                if (int(one.fingerprint, 16) ^ int(other.fingerprint, 16)).bit_count() <= bits:
                    assert one.group_id == other.group_id
    assert {one.image_id for one in table} == {image_id(one.uri[8:-4]) for one in (*first, *second)}
