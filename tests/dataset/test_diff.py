import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.diff import DiffNumbers, VersionDiff, diff_versions
from pipeline.records import Source, Split, State, samples_to_table
from pipeline.report.frames import differences
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


GUESS = box(0, 0, 100, 100, source=Source.PSEUDO, score=0.5, box_id="1")


@pytest.mark.parametrize(
    ("answer", "pair"),
    [
        (box(0, 0, 100, 100, source=Source.ACCEPTED), ("taken over", "pseudo->accepted", "bolt", 1, 1.0)),
        (box(0, 0, 100, 80, source=Source.CORRECTED), ("moved", "pseudo->corrected", "bolt", 1, 0.8)),
        (box(0, 0, 100, 50, source=Source.PSEUDO), ("moved", "pseudo", "bolt", 1, 0.5)),
        (box(0, 0, 100, 60, "nut", Source.CORRECTED), ("relabelled", "pseudo->corrected", "bolt->nut", 1, 0.6)),
    ],
)
def test_a_box_that_became_another(answer, pair):
    found = diff([sample("a", GUESS)], [sample("a", replace(answer, box_id="2"))])
    assert [(one.change, one.source, one.label, one.number, one.iou) for one in found.box_pairs] == [pair]
    assert (found.boxes_removed, found.boxes_added) == ({}, {})
    assert (found.all_removed(), found.box_images) == ({"pseudo": {"bolt": 1}}, (A,))
    assert found.all_added() == {str(answer.source): {answer.label: 1}}


@pytest.mark.parametrize(
    "other", [sample("a", box(0, 0, 100, 49, box_id="2")), sample("b", replace(GUESS, box_id="2"))]
)
def test_boxes_that_overlap_less_or_lie_in_another_image_are_two_objects(other):
    found = diff([sample("a", GUESS)], [other])
    assert (found.box_pairs, found.boxes_removed) == ((), {"pseudo": {"bolt": 1}})
    assert sum(labels["bolt"] for labels in found.boxes_added.values()) == 1


def test_each_box_becomes_one_other_those_of_its_class_first():
    near, same = box(0, 0, 100, 98, "nut", box_id="2"), box(0, 0, 100, 90, box_id="3")
    found = diff([sample("a", GUESS)], [sample("a", near, same)])
    assert [(pair.change, pair.label, pair.iou) for pair in found.box_pairs] == [("moved", "bolt", 0.9)]
    assert found.boxes_added == {"import": {"nut": 1}}


def test_pairs_are_told_as_json_and_as_rows():
    found = diff([sample("a", GUESS)], [sample("a", box(0, 0, 100, 80, source=Source.CORRECTED, box_id="2"))])
    values = found.to_json()
    assert json.loads(json.dumps(values)) == values
    sides = {"old_source": "pseudo", "new_source": "corrected", "old_label": "bolt", "new_label": "bolt"}
    assert values["box_pairs"] == [{"change": "moved", **sides, "number": 1, "iou": 0.8}]
    assert values["box_image_ids"] == [A]
    (row,) = differences(found.numbers()).itertuples(index=False)
    assert tuple(row) == ("box", "moved", "pseudo->corrected", "bolt", 1, 0.8)
    assert differences(DiffNumbers()).empty


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


def total(tally):
    return sum(number for labels in tally.values() for number in labels.values())


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

    assert found.all_added() == tally(new, old)
    assert found.all_removed() == tally(old, new)
    paired = sum(pair.number for pair in found.box_pairs)
    assert total(found.boxes_added) + paired == total(found.all_added())
    assert total(found.boxes_removed) + paired == total(found.all_removed())
    moved: dict = {}
    for key in sorted(before.keys() & after.keys()):
        if before[key].state is not after[key].state:
            moved.setdefault(f"{before[key].state}->{after[key].state}", []).append(key)
    assert found.states == {name: tuple(ids) for name, ids in moved.items()}
    assert sum(map(len, found.images_added.values())) == len(after.keys() - before.keys())
    back = diff(new, old)
    assert (back.all_added(), back.images_added) == (found.all_removed(), found.images_removed)


def test_order_of_rows_does_not_matter():
    old = [sample("a", box()), pool("b"), pool("c")]
    new = [replace(one, state=State.SKIPPED) for one in old]
    assert diff(old, new) == diff(old[::-1], new)
