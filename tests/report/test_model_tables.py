from dataclasses import replace

from pipeline.artefacts import CommitteeRun, Member, TrainingSummary
from pipeline.report import Turn
from pipeline.report.model_tables import classes, committee, progress, splits
from pipeline.report.tables import Badge, Link
from pipeline.report.wording import NOTHING
from tests.report.builders import MOMENT, NOT_MEASURED, gate, turns


def _texts(table):
    return [[cell if isinstance(cell, str) else getattr(cell, "text", cell) for cell in row] for row in table.rows]


def test_progress_links_to_the_pages_that_exist():
    assert progress((), 5).rows == ()
    history = [*turns(2), Turn(cycle=2, opened_at=MOMENT, labeled_images=7)]
    table = progress(history, 5, pages=frozenset({"cycle-0001.html"}))
    assert _texts(table)[0][:9] == ["2", "7", "0", "0", "–", "–", "–", "–", "none trained"]
    assert table.rows[1][0] == Link("1", "cycle-0001.html")
    assert table.rows[1][4:7] == ("0.397 [0.367–0.427]", "0.387 [0.357–0.417]", "0.637")
    assert table.rows[2][0] == "0"


def test_a_gate_that_held_is_shown():
    history = [replace(turns(1)[0], gate=gate(0, 0.3, promoted=False))]
    assert progress(history, 5).rows[0][8] == Badge("not promoted", "warn")


def test_classes_compare_with_the_last_measured_cycle():
    first, second, third = turns(3)
    assert classes([Turn(cycle=0, opened_at=MOMENT)]).rows == ()
    assert classes([first]).columns[3].title == "Change"
    table = classes([first, replace(second, gate=None), third])
    assert table.columns[3].title == "Since cycle 0"
    assert table.rows[0] == ("bolt", "40", "0.312", "+0.051", "0.562", "0.322")
    assert [row[0] for row in table.rows] == ["bolt", "nut", "washer", "gear", "key"]


def test_without_a_test_split_ap_on_val_is_shown_once():
    turn = replace(turns(1)[0], gate=gate(0, 0.4, test=NOT_MEASURED))
    table = classes([turn])
    titles = [column.title for column in table.columns]
    assert titles == ["Class", "True boxes in val", "AP val", "Change", "AP50 val"]
    assert table.rows
    assert {len(row) for row in table.rows} == {len(titles)}


def test_classes_that_cannot_be_measured_come_last():
    outcome = gate(0, 0.4)
    values = dict(outcome.test.per_class)
    values["bolt"] = replace(values["bolt"], ap=None, boxes=0)
    turn = replace(turns(1)[0], gate=replace(outcome, test=replace(outcome.test, per_class=values)))
    assert classes([turn]).rows[-1] == ("bolt", "0", "–", "–", "0.550", "0.310")


def test_many_classes_of_ap_are_cut_with_a_count():
    labels = tuple(f"class {place:02d}" for place in range(80))
    table = classes([replace(turns(1)[0], gate=gate(0, 0.4, labels=labels))])
    assert len(table.rows) == 30
    assert table.note == "30 of 80 classes shown; all in metrics.json."


def test_splits_leave_out_what_was_not_measured():
    assert [row[0].split()[-1] for row in splits(gate(1, 0.4)).rows] == ["test", "val", "val"]
    assert len(splits(gate(0, 0.4, test=NOT_MEASURED)).rows) == 1
    measured = splits(gate(0, 0.4)).rows[0]
    assert measured[1:] == ("0.400 [0.370–0.430]", "0.650", "0.350", "–", "0.400", "0.500", "80", "270")


# The committee


def crossfitted(*levels):
    run = TrainingSummary(steps=400, train_seconds=90.0, images_per_s=5.0, labeled_images=12, pseudo_images=7)
    members = tuple(
        Member(f"{number}badcafe12345", "0badcafe99999" if number else None, 11 + number, level, run)
        for number, level in enumerate(levels)
    )
    return CommitteeRun(dataset_version=3, members=members)


def test_each_member_is_shown_with_what_it_learnt_and_what_it_cost():
    table = committee(crossfitted(0.25, None))
    first, second = table.rows
    assert first == ("0badcafe1234", "pretrained weights", "12", "7", "11", "0.250", "400", "1.5")
    assert second[1] == "0badcafe9999"
    assert second[5] == NOTHING, "held-back images without an object"


def test_where_there_is_no_val_held_back_images_stand_in_its_place():
    judged = replace(gate(0, 0.4), val=NOT_MEASURED, held_back=gate(0, 0.3).val)
    turn = Turn(cycle=0, opened_at=MOMENT, gate=judged)
    assert "mAP held back [95 %]" in [column.title for column in progress([turn], 5).columns]
    assert "mAP val [95 %]" in [column.title for column in progress(turns(2), 5).columns]
    assert "its committee, out of fold" in [row[0] for row in splits(judged).rows]
