from collections import Counter
from dataclasses import replace

import pyarrow as pa

from pipeline.dataset.diff import ChangeCounts
from pipeline.records import SAMPLE_SCHEMA, ImportIssue, samples_to_table
from pipeline.report.data_tables import (
    class_sources,
    count_boxes,
    count_issues,
    issues,
    mining_costs,
    moved,
    times,
    versions,
)
from tests.builders import box, sample
from tests.report.builders import CHANGE, ISSUES, changes, mining
from tests.report.builders import versions as some_versions
from tests.report.scenes import sample_table, scenes, selection_table


def test_boxes_are_counted_by_label_and_source():
    assert count_boxes(SAMPLE_SCHEMA.empty_table()) == {}
    assert count_boxes(samples_to_table([sample("none")])) == {}
    two = samples_to_table(
        [
            sample("one", box(), box(source="human"), box(label="nut")),
            sample("none"),
            sample("two", box(source="human")),
        ]
    )
    assert count_boxes(two) == {"bolt": {"human": 2, "import": 1}, "nut": {"import": 1}}


def test_counts_equal_a_naive_loop():
    images = scenes(30)
    samples = sample_table(images, selection_table(images))
    boxes = Counter((box["label"], box["source"]) for row in samples.to_pylist() for box in row["boxes"])
    assert {(label, k): n for label, own in count_boxes(samples).items() for k, n in own.items()} == boxes


def test_counting_a_table_of_several_chunks():
    part = samples_to_table([sample("one", box())])
    assert count_boxes(pa.concat_tables([part, part])) == {"bolt": {"import": 2}}


def test_class_sources_sum_up():
    assert class_sources({}).rows == ()
    table = class_sources({"nut": {"import": 1}, "bolt": {"human": 2, "pseudo": 3, "elsewhere": 1}})
    assert [column.title for column in table.columns][3:] == [
        "import", "human", "accepted", "corrected", "pseudo", "soft", "elsewhere",
    ]  # fmt: skip
    assert [row[:2] + row[3:] for row in table.rows] == [
        ("bolt", "6", "0", "2", "0", "0", "3", "0", "1"),
        ("nut", "1", "1", "0", "0", "0", "0", "0", "0"),
    ]
    assert table.foot == ("All classes", "7", "", "1", "2", "0", "0", "3", "0", "1")
    assert [part.percent for part in table.rows[0][2].parts] == [33.33, 50.0, 16.67]


def test_many_classes_are_cut_with_a_count_but_not_their_sum():
    table = class_sources({f"class {place:02d}": {"import": 1} for place in range(80)})
    assert len(table.rows) == 30
    assert table.note.startswith("30 of 80 classes shown")
    assert table.foot[1] == "80"


def test_versions_say_what_changed():
    assert versions((), {}, 5).rows == ()
    table = versions(some_versions(5), changes(5), 2)
    assert [row[0] for row in table.rows] == ["4", "3"]
    assert table.note == "2 of 5 versions shown; all in the output of crosscheck versions list."
    assert table.rows[0][3:8] == (
        "30 pool → pseudo, 10 pool → queued", "40 human, 150 pseudo (bolt 120, nut 70)", "12 pseudo (bolt 12)", "1,660",
        "–",
    )  # fmt: skip
    assert table.rows[1][7] == "03c0ffee1234"
    assert versions(some_versions(1), changes(1), 5).rows[0][3:7] == ("–", "–", "–", "900")
    assert versions(some_versions(1), {0: ChangeCounts()}, 5).rows[0][3:6] == ("none", "none", "none")


def test_moved_of_an_unknown_change():
    assert (moved(None), moved(ChangeCounts())) == ("–", "")
    assert moved(replace(CHANGE, images={"new->pool": 1200})) == "1,200 new → pool"


def test_every_faulty_file_is_named_the_quarantined_first():
    assert issues(()).rows == ()
    many = [*ISSUES, *(ImportIssue(f"/{place}.jpg", "duplicate", "of /0.jpg", "left_out") for place in range(500))]
    table = issues(many)
    assert {row[0] for row in table.rows} == {one.uri for one in many}
    assert [row[3] for row in table.rows[:3]] == ["quarantined", "quarantined", "converted"]
    assert table.rows[-1][1:] == ("near duplicate", "near-duplicate of /images/one.jpg in val", "moved to train")
    assert count_issues(ISSUES) == {"quarantined": 2, "converted": 1, "moved to train": 1}


def test_stages_sum_up():
    assert (times("t", "Stage", {}).rows, times("t", "Stage", {}).foot) == ((), ())
    table = times("t", "Stage", {"mine": 90.0, "push": 0.0})
    assert (table.caption, table.columns[0].title) == ("t", "Stage")
    assert [row[:2] for row in table.rows] == [("mine", "1 min 30 s"), ("push", "0.0 s")]
    assert table.foot[1] == "1 min 30 s"


def test_mining_costs_of_the_pool_and_of_the_held_back_images():
    pool, held_back = mining_costs(mining()).rows
    assert pool == ("pool", "240", "2,900", "410", "640", "1,160", "210", "91", "0.967")
    assert held_back == ("held back", "40", "480", "40", "480", "1,920", "260", "17", "1.000")
