from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest

from pipeline.records import SAMPLE_SCHEMA, ImportIssue, samples_to_table
from pipeline.report import Turn
from pipeline.report.artefacts import Change
from pipeline.report.data_tables import (
    class_sources,
    count_boxes,
    count_issues,
    effort,
    issues,
    moved,
    queue,
    stages,
    versions,
)
from pipeline.report.measures import AuditCount, Calibration, Evidence
from pipeline.report.model_tables import (
    certificates,
    classes,
    count_fates,
    evidence,
    missing_for_certificates,
    progress,
    splits,
)
from pipeline.report.tables import Badge, Bar, Link, numbers_table, stacked, text_table
from pipeline.report.tiles import Album
from pipeline.selection.withdrawal import Standing
from tests.builders import box, sample
from tests.report.builders import (
    ISSUES,
    MOMENT,
    calibration,
    cycle_contents,
    first_cycle,
    gate,
    metrics,
    queue_table,
    reader,
    sample_table,
    scenes,
    selection_table,
    turns,
)
from tests.report.builders import versions as some_versions


def _texts(table):
    return [[cell if isinstance(cell, str) else getattr(cell, "text", cell) for cell in row] for row in table.rows]


def test_bars_fill_by_the_longest():
    assert stacked({}, 0, {}) == Bar(())
    assert stacked({"import": 0}, 0, {"import": "0"}) == Bar(())
    bar = stacked({"import": 3, "human": 0, "pseudo": 1}, 8, {"import": "3", "human": "0", "pseudo": "1"})
    assert [(part.kind, part.percent, part.text) for part in bar.parts] == [
        ("import", 37.5, "3"),
        ("pseudo", 12.5, "1"),
    ]


def test_small_tables():
    assert numbers_table("c", "n", "m", {}).rows == ()
    assert numbers_table("c", "n", "m", {"b": 1, "a": 1, "c": 2000}).rows == (("c", "2,000"), ("a", "1"), ("b", "1"))
    assert text_table("c", ("x", "y"), {"a": "b"}.items()).rows == (("a", "b"),)


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
    known = scenes(30)
    selection = selection_table(known)
    samples = sample_table(known, selection)
    boxes = Counter((one["label"], one["source"]) for row in samples.to_pylist() for one in row["boxes"])
    fates = Counter((row["label"], row["fate"]) for row in selection.to_pylist())
    assert {(label, k): n for label, one in count_boxes(samples).items() for k, n in one.items()} == boxes
    assert {(label, k): n for label, one in count_fates(selection).items() for k, n in one.items()} == fates


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
    assert versions((), 5).rows == ()
    table = versions(some_versions(5), 2)
    assert [row[0] for row in table.rows] == ["4", "3"]
    assert table.note == "2 of 5 versions shown; all in the output of crosscheck versions list."
    assert table.rows[0][3:7] == (
        "30 pool → pseudo, 10 pool → queued", "40 human, 150 pseudo (bolt 120, nut 70)", "12 pseudo (bolt 12)", "1,660",
    )  # fmt: skip
    assert versions(some_versions(1), 5).rows[0][3:7] == ("–", "–", "–", "900")
    unchanged = replace(some_versions(1)[0], change=Change())
    assert versions([unchanged], 5).rows[0][3:6] == ("none", "none", "none")


def test_moved_of_an_unknown_change():
    assert (moved(None), moved(Change())) == ("–", "")


def test_effort_is_summed_over_all_cycles_though_some_are_cut():
    assert effort((), 5).foot == ("All cycles", "0", "0", "0", "0", "–")
    table = effort(turns(3), 2)
    assert table.rows == (("2", "10", "43", "10", "61", "0.7"), ("1", "10", "43", "10", "61", "0.7"))
    assert table.foot == ("All cycles", "30", "129", "20", "122", "1.4")
    assert table.note == "2 of 3 cycles shown; all in index.html."


def test_the_queue_is_cut_with_a_count():
    known = scenes(12)
    samples = sample_table(known, selection_table(known))
    album = Album(reader(known), samples, [scene.image_id for scene in known])
    assert queue(queue_table(known, 0), album, 3).rows == ()
    table = queue(queue_table(known, 10), album, 3)
    assert table.note == "3 of 10 images shown; all in queue.parquet."
    assert table.rows[0][2:] == (
        "workshop_000.jpg",
        "3 unsure boxes, most of them gear",
        "ask",
        "0.900",
        "1.800",
        "0.400",
        str(len(known[0].boxes)),
    )
    assert table.rows[0][1].marks == ()


def test_every_faulty_file_is_named_the_quarantined_first():
    assert issues(()).rows == ()
    many = [*ISSUES, *(ImportIssue(f"/{place}.jpg", "duplicate", "of /0.jpg", "left_out") for place in range(500))]
    table = issues(many)
    assert {row[0] for row in table.rows} == {one.uri for one in many}
    assert [row[3] for row in table.rows[:3]] == ["quarantined", "quarantined", "converted"]
    assert table.rows[-1][1:] == ("near duplicate", "near-duplicate of /images/one.jpg in val", "moved to train")
    assert count_issues(ISSUES) == {"quarantined": 2, "converted": 1, "moved to train": 1}


def test_stages_sum_up():
    assert (stages("t", {}).rows, stages("t", {}).foot) == ((), ())
    table = stages("t", {"mine": 90.0, "push": 0.0})
    assert [row[:2] for row in table.rows] == [("mine", "1 min 30 s"), ("push", "0.0 s")]
    assert table.foot[1] == "1 min 30 s"


def test_progress_links_to_the_pages_that_exist():
    assert progress((), 5).rows == ()
    history = [*turns(2), Turn(cycle=2, opened_at=MOMENT, labeled_images=7)]
    table = progress(history, 5, pages=frozenset({1}))
    assert _texts(table)[0][:8] == ["2", "7", "0", "0", "–", "–", "–", "none trained"]
    assert table.rows[1][0] == Link("1", "cycle-0001.html")
    assert table.rows[1][4:7] == ("0.397 [0.367–0.427]", "0.387 [0.357–0.417]", "0.637")
    assert table.rows[2][0] == "0"


def test_a_gate_that_held_is_shown():
    history = [replace(turns(1)[0], gate=gate(0, 0.3, promoted=False))]
    assert progress(history, 5).rows[0][7] == Badge("not promoted", "warn")


def test_classes_compare_with_the_last_measured_cycle():
    first, second, third = turns(3)
    assert classes([Turn(cycle=0, opened_at=MOMENT)]).rows == ()
    assert classes([first]).columns[3].title == "Change"
    table = classes([first, replace(second, gate=None), third])
    assert table.columns[3].title == "Since cycle 0"
    assert table.rows[0] == ("bolt", "40", "0.312", "+0.051", "0.562", "0.322")
    assert [row[0] for row in table.rows] == ["bolt", "nut", "washer", "gear", "key"]


def test_classes_that_cannot_be_measured_come_last():
    values = {**gate(0, 0.4).test.per_class}
    values["bolt"] = replace(values["bolt"], ap=None, n=0)
    one = gate(0, 0.4)
    turn = replace(turns(1)[0], gate=replace(one, test=replace(one.test, per_class=values)))
    assert classes([turn]).rows[-1] == ("bolt", "0", "–", "–", "0.550", "0.310")


def test_many_classes_of_ap_are_cut_with_a_count():
    labels = tuple(f"class {place:02d}" for place in range(80))
    table = classes([replace(turns(1)[0], gate=gate(0, 0.4, labels=labels))])
    assert len(table.rows) == 30
    assert table.note == "30 of 80 classes shown; all in metrics.json."


def test_splits_leave_out_what_was_not_measured():
    assert [row[0].split()[-1] for row in splits(gate(1, 0.4)).rows] == ["test", "val", "val"]
    assert len(splits(gate(0, 0.4, test=None)).rows) == 1
    assert len(splits(gate(0, 0.4, test={**metrics(-1.0), "boxes": 0})).rows) == 1


def test_evidence_stands_beside_chance_with_the_fused_score_last():
    table = evidence(calibration())
    assert [row[0] for row in table.rows] == [
        "random", "confidence", "consistency", "closeup_score", "product", "crosscheck",
    ]  # fmt: skip
    assert table.rows[-1] == ("crosscheck", "0.944 [0.931–0.957]", "0.915", "0.441", "0.021", "0.086")
    bins = calibration().reliability["crosscheck"]
    base = sum(right * number for _, right, number in bins) / sum(number for *_, number in bins)
    assert table.rows[0][1:3] == ("0.500", f"{base:.3f}")


@pytest.mark.parametrize(("given", "names"), [({}, ["random"]), ({"new": Evidence(0.7)}, ["random", "new"])])
def test_evidence_takes_unknown_scores_and_none(given, names):
    table = evidence(Calibration(boxes=0, evidence=given))
    assert [row[0] for row in table.rows] == names
    assert table.rows[0][2] == "–"


def test_certificates_stand_beside_the_precision_found_in_a_simulation_only():
    assert certificates(first_cycle()).rows == ()
    contents = cycle_contents(scenes(30), audit={"bolt": AuditCount(62, 60), "gear": AuditCount(0, 0)})
    simulated, real = certificates(contents), certificates(replace(contents, audit=None))
    rows = {row[0]: row for row in simulated.rows}
    assert rows["bolt"][1:5] == (Badge("certified", "good"), "0.830", "139 of 140", "0.961")
    assert rows["bolt"][5] == "0.968 [0.888–0.996] (60 of 62)"
    assert rows["gear"][5] == "–"
    assert rows["washer"][1] == Badge("not certified", "warn")
    assert "Precision found" not in [column.title for column in real.columns]
    assert all(len(row) == len(table.columns) for table in (simulated, real) for row in table.rows)


def test_what_is_missing_is_told_of_classes_that_are_not_certified_or_withdrawn():
    contents = cycle_contents(scenes(30))
    more = "about 28 more held-back boxes at this precision"
    assert missing_for_certificates(contents).rows == (("nut", more), ("washer", more))
    standing = Standing(since=2, boxes=80, right=61, withdrawn_in=2, failed_boxes=80, failed_right=61, needed="59 more")
    withdrawn = replace(contents, standings={"bolt": standing, "washer": standing})
    rows = missing_for_certificates(withdrawn).rows
    assert rows == (("bolt", "59 more"), ("nut", more), ("washer", f"59 more; {more}"))
    assert missing_for_certificates(first_cycle()).rows == ()


def test_what_people_found_blindly_stands_beside_the_promise():
    contents = replace(cycle_contents(scenes(30)), audit=None, blind_audit={"bolt": AuditCount(8, 6)})
    table = certificates(contents)
    rows = {row[0]: row for row in table.rows}
    assert table.columns[5].title == "Blind audit"
    assert rows["bolt"][5] == "0.750 [0.349–0.968] (6 of 8)"
    assert rows["gear"][5] == "–"


def test_fates_without_certificates_are_still_counted():
    contents = replace(cycle_contents(scenes(30)), certificates=None, audit=None)
    fates = count_fates(contents.selection)
    rows = {row[0]: row for row in certificates(contents).rows}
    assert set(rows) == set(fates)
    assert rows["bolt"][1] == Badge("none", "note")
    assert rows["bolt"][5:8] == tuple(str(fates["bolt"].get(fate, 0)) for fate in ("pseudo", "ask", "drop"))
