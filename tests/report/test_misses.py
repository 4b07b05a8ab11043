from pipeline.report import miss_tables
from pipeline.report.measures import Recall
from tests.report.builders import calibration


def test_the_least_found_comes_first():
    table = miss_tables.recall(calibration().recall)
    assert [row[:2] for row in table.rows] == [("bolt", "small"), ("bolt", "medium"), ("gear", "large")]
    assert table.rows[0][2:] == ("0.548 [0.360–0.727]", "14", "31")


def test_nothing_was_counted():
    assert miss_tables.recall(()).rows == ()


def test_equals_go_by_name():
    rows = [Recall(label, "large", 4, 4, 0.398, 1.0) for label in ("nut", "bolt")]
    assert [row[0] for row in miss_tables.recall(rows).rows] == ["bolt", "nut"]
