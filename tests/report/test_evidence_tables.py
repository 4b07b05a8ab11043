from collections import Counter
from dataclasses import replace

import pytest

from pipeline.artefacts import AuditCount, Calibration, Certificate, ClassStanding, Recall, ScoreQuality, SelectionRun
from pipeline.report.evidence_tables import certificates, count_fates, missing_for_certificates, recall, scores
from pipeline.report.tables import Badge
from tests.report.builders import calibration, cycle_contents, first_cycle
from tests.report.scenes import scenes, selection_table


def test_scores_stand_beside_chance_with_the_fused_score_last():
    table = scores(calibration())
    assert [row[0] for row in table.rows] == [
        "random", "confidence", "consistency", "augmented view", "close-up", "product", "crosscheck",
    ]  # fmt: skip
    assert table.rows[-1] == ("crosscheck", "0.944 [0.931–0.957]", "0.915", "0.441", "0.021", "0.086")
    bins = calibration().scores["confidence"].reliability
    base = sum(right * number for _, right, number in bins) / sum(number for *_, number in bins)
    assert table.rows[0][1:3] == ("0.500", f"{base:.3f}")


@pytest.mark.parametrize(("given", "names"), [({}, ["random"]), ({"new": ScoreQuality(0.7)}, ["random", "new"])])
def test_scores_take_other_scores_and_none(given, names):
    table = scores(Calibration(0, given))
    assert [row[0] for row in table.rows] == names
    assert table.rows[0][2] == "–"


def test_the_least_recalled_comes_first():
    table = recall(calibration().recall)
    assert [row[:2] for row in table.rows] == [("bolt", "small"), ("bolt", "medium"), ("gear", "large")]
    assert table.rows[0][2:] == ("0.548 [0.360–0.727]", "14", "31")


def test_equal_recalls_go_by_name():
    rows = [Recall(label, "large", 4, 4, 0.398, 1.0) for label in ("nut", "bolt")]
    assert [row[0] for row in recall(rows).rows] == ["bolt", "nut"]


def test_without_held_back_objects_there_is_no_recall():
    assert recall(()).rows == ()


def test_certificates_stand_beside_the_true_precision_in_a_simulation_only():
    assert certificates(first_cycle()).rows == ()
    contents = cycle_contents(scenes(30), audit={"bolt": AuditCount(62, 60), "gear": AuditCount(0, 0)})
    simulated, real = certificates(contents), certificates(replace(contents, audit=None))
    rows = {row[0]: row for row in simulated.rows}
    assert rows["bolt"][1:5] == (Badge("certified", "good"), "0.830", "139 of 140", "0.961")
    assert rows["bolt"][5] == "0.968 [0.888–0.996] (60 of 62)"
    assert rows["gear"][5] == "–"
    assert rows["washer"][1] == Badge("not certified", "warn")
    assert "True precision" not in [column.title for column in real.columns]
    assert all(len(row) == len(table.columns) for table in (simulated, real) for row in table.rows)


def test_the_highest_precision_and_all_classes_together_stand_beside_the_promises():
    contents = cycle_contents(scenes(30))
    together = Certificate("all classes together", True, 0.61, 300, 290, 0.942)
    promises = replace(
        contents.certificates, together=together, highest={"bolt": 0.95, "washer": 0.8, "all classes together": 0.9}
    )
    table = certificates(replace(contents, certificates=promises))
    rows = {row[0]: row for row in table.rows}
    assert table.columns[-1].title == "Highest"
    assert [rows[label][-1] for label in ("bolt", "washer", "nut")] == ["0.950", "0.800", "–"]
    assert table.note == (
        "Of all classes together, boxes from a p(correct) of 0.610 on are certified for a precision of 0.942: "
        "290 of 300 right; 0.9 is the highest that can be promised."
    )
    none = replace(together, certified=False, threshold=None, lower_bound=None, needed="29 boxes")
    short = certificates(replace(contents, certificates=replace(promises, together=none, highest={})))
    assert short.note == "Of all classes together the target is not certified. Needed: 29 boxes."


def test_what_is_missing_for_classes_that_are_not_certified_or_withdrawn():
    contents = cycle_contents(scenes(30))
    more = "about 28 more held-back boxes at this precision"
    assert missing_for_certificates(contents).rows == (("nut", more), ("washer", more))
    standing = ClassStanding(
        since=2, boxes=80, right=61, withdrawn_in=2, failed_boxes=80, failed_right=61, needed="59 more"
    )
    withdrawn = replace(contents, standings={"bolt": standing, "washer": standing})
    rows = missing_for_certificates(withdrawn).rows
    assert rows == (("bolt", "59 more"), ("nut", more), ("washer", f"59 more; {more}"))
    assert missing_for_certificates(first_cycle()).rows == ()


def test_what_people_confirmed_blindly_stands_beside_the_promise():
    contents = replace(cycle_contents(scenes(30)), audit=None, blind_audit={"bolt": AuditCount(8, 6)})
    table = certificates(contents)
    rows = {row[0]: row for row in table.rows}
    assert table.columns[5].title == "Blind audit"
    assert rows["bolt"][5] == "0.750 [0.349–0.968] (6 of 8)"
    assert rows["gear"][5] == "–"


def test_fates_without_certificates_are_still_counted():
    contents = replace(cycle_contents(scenes(30)), certificates=None, audit=None, selected=None)
    fates = count_fates(contents.selection)
    rows = {row[0]: row for row in certificates(contents).rows}
    assert set(rows) == set(fates)
    assert rows["bolt"][1] == Badge("none", "note")
    counts = [str(fates["bolt"].get(fate, 0)) for fate in ("pseudo", "ask", "drop")]
    assert rows["bolt"][5:9] == (counts[0], "0", *counts[1:])


def test_pseudo_labels_are_those_that_were_written_and_sure_ones_beside_them_are_named():
    written = SelectionRun(version=1, pseudo_boxes=4, pseudo_by_class={"bolt": 4})
    contents = replace(cycle_contents(scenes(30)), audit=None, blind_audit={}, selected=written)
    rows = {row[0]: row for row in certificates(contents).rows}
    sure = count_fates(contents.selection)["bolt"]["pseudo"]
    assert rows["bolt"][5:7] == ("4", str(sure - 4))


def test_fates_equal_a_naive_count():
    selection = selection_table(scenes(30))
    naive = Counter((row["label"], row["fate"]) for row in selection.to_pylist())
    assert {(label, k): n for label, own in count_fates(selection).items() for k, n in own.items()} == naive
