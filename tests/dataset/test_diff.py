import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.diff import VersionDiff, diff_versions
from pipeline.records import Source, Split, State, samples_to_table
from tests.builders import box, image_id, sample

A, B, C = (image_id(name) for name in "abc")


def diff(old, new):
    return diff_versions(samples_to_table(old), samples_to_table(new))


def pool(name, **fields):
    return sample(name, **{"split": Split.POOL, "state": State.POOL, **fields})


@pytest.mark.parametrize("rows", [[], [sample("a", box(score=None)), pool("b")]])
def test_equal_versions_differ_in_nothing(rows):
    assert diff(rows, rows) == VersionDiff()


def test_from_nothing_everything_is_added():
    found = diff([], [sample("a", box(), box(60, 60, 80, 80, "nut")), pool("b")])
    assert found.images_added == {"labeled": (A,), "pool": (B,)}
    assert found.boxes_added == {"import": {"bolt": 1, "nut": 1}}
    assert (found.images_removed, found.states, found.boxes_removed) == ({}, {}, {})


def test_to_nothing_everything_is_removed():
    found = diff([sample("a", box()), pool("b")], [])
    assert found.images_removed == {"labeled": (A,), "pool": (B,)}
    assert found.boxes_removed == {"import": {"bolt": 1}}


def test_images_change_state_and_split():
    old = [pool("a"), pool("b"), pool("c", state=State.QUEUED)]
    new = [pool("a", state=State.QUEUED), pool("b", state=State.QUEUED), sample("c", box(box_id="new"))]
    found = diff(old, new)
    assert found.states == {"pool->queued": tuple(sorted([A, B])), "queued->labeled": (C,)}
    assert found.splits == {"pool->train": (C,)}
    assert (found.images_added, found.images_removed) == ({}, {})
    assert found.boxes_added == {"import": {"bolt": 1}}


def test_a_box_taken_over_by_a_person_is_one_removed_and_one_added():
    guess = box(source=Source.PSEUDO, score=0.5, box_id="1")
    answer = box(source=Source.ACCEPTED, box_id="2")
    found = diff([sample("a", guess)], [sample("a", answer)])
    assert (found.boxes_removed, found.boxes_added) == ({"pseudo": {"bolt": 1}}, {"accepted": {"bolt": 1}})


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ({"p_correct": 0.5}, {"p_correct": 0.6}, True),
        ({"p_correct": 0.5}, {"p_correct": 0.5}, False),
        ({"p_correct": None}, {"p_correct": 0.6}, True),
        ({"p_correct": 0.5}, {"p_correct": None}, True),
        ({"annotator": None}, {"annotator": None}, False),
        ({"annotator": "ann"}, {"annotator": "bob"}, True),
    ],
)
def test_a_box_that_keeps_its_id_can_change(before, after, changed):
    found = diff([sample("a", box(**before), box(1, 1, 9, 9))], [sample("a", box(1, 1, 9, 9), box(**after))])
    assert found.boxes_changed == ({"import": {"bolt": 1}} if changed else {})
    assert (found.boxes_added, found.boxes_removed) == ({}, {})


def test_json_holds_counts_and_ids():
    guesses = [box(n, n, 50, 50, label, Source.PSEUDO) for n, label in enumerate(["nut", "bolt", "nut"])]
    found = diff([pool("a"), pool("b")], [pool("b", state=State.QUEUED), sample("c", box(), *guesses)]).to_json()
    assert json.loads(json.dumps(found)) == found
    assert found["images"] == {
        "added": {"labeled": 1},
        "removed": {"pool": 1},
        "states": {"pool->queued": 1},
        "splits": {},
    }
    assert found["image_ids"]["states"] == {"pool->queued": [B]}
    assert found["boxes"]["added"] == {
        "total": 4,
        "by_source": {"import": 1, "pseudo": 3},
        "by_label": {"bolt": 2, "nut": 2},
        "by_source_and_label": {"import": {"bolt": 1}, "pseudo": {"bolt": 1, "nut": 2}},
    }
    assert found["boxes"]["removed"]["total"] == 0


rows = st.lists(
    st.builds(
        lambda name, state, boxes: sample(
            name,
            *(box(n, n, 90, 90, label, source, box_id=f"{name}{n}{label}{source}") for n, label, source in boxes),
            state=state,
        ),
        st.sampled_from("abcdef"),
        st.sampled_from(list(State)),
        st.sets(
            st.tuples(st.integers(0, 3), st.sampled_from(["bolt", "nut"]), st.sampled_from(list(Source))), max_size=4
        ),
    ),
    unique_by=lambda one: one.image_id,
)


@given(old=rows, new=rows)
def test_columns_count_what_loops_count(old, new):
    found = diff(old, new)
    before, after = ({one.image_id: one for one in side} for side in (old, new))

    def tally(these, those):
        known = {part.box_id for one in those for part in one.boxes}
        counts: dict = {}
        for one in these:
            for part in one.boxes:
                if part.box_id not in known:
                    counts.setdefault(part.source, {}).setdefault(part.label, 0)
                    counts[part.source][part.label] += 1
        return counts

    assert found.boxes_added == tally(new, old)
    assert found.boxes_removed == tally(old, new)
    moved: dict = {}
    for key in sorted(before.keys() & after.keys()):
        if before[key].state is not after[key].state:
            moved.setdefault(f"{before[key].state}->{after[key].state}", []).append(key)
    assert found.states == {name: tuple(ids) for name, ids in moved.items()}
    assert sum(map(len, found.images_added.values())) == len(after.keys() - before.keys())
    back = diff(new, old)
    assert (back.boxes_added, back.images_added) == (found.boxes_removed, found.images_removed)


def test_order_of_rows_does_not_matter():
    old = [sample("a", box()), pool("b"), pool("c")]
    new = [replace(one, state=State.SKIPPED) for one in old]
    assert diff(old, new) == diff(old[::-1], new)
