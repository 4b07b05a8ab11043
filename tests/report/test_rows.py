import pyarrow as pa

from pipeline.records import CHECK_SCHEMA, QUEUE_SCHEMA
from pipeline.report.rows import Check, QueuedImage, Verdict, read_rows, rows_of
from tests.report.scenes import check_table, scenes, selection_table

IMAGES = scenes(4)
SELECTION = selection_table(IMAGES)


def test_empty_tables_have_no_rows():
    assert read_rows(QUEUE_SCHEMA.empty_table(), QueuedImage) == []
    assert rows_of(CHECK_SCHEMA.empty_table(), Check, "proposal_id", []) == {}


def test_rows_keep_their_values_and_their_order():
    rows = read_rows(SELECTION, Verdict)
    assert [row.proposal_id for row in rows] == SELECTION["proposal_id"].to_pylist()
    first = SELECTION.slice(0, 1).to_pylist()[0]
    assert rows[0].xyxy == (first["x1"], first["y1"], first["x2"], first["y2"])
    assert (rows[0].label, rows[0].p_correct, rows[0].fate) == (first["label"], first["p_correct"], first["fate"])


def test_rows_are_grouped_and_unwanted_ones_left_out():
    wanted, other = IMAGES[1].image_id, IMAGES[2].image_id
    groups = rows_of(SELECTION, Verdict, "image_id", [wanted, "nowhere"])
    assert groups[wanted] == [row for row in read_rows(SELECTION, Verdict) if row.image_id == wanted] != []
    assert other not in groups
    assert groups["nowhere"] == []


def test_a_paste_without_a_re_detection_has_none():
    checks = read_rows(check_table(SELECTION, IMAGES), Check)
    assert {check.hit for check in checks} == {True, False}
    assert all((check.redetection is not None) == check.hit for check in checks)
    x1, y1, x2, y2 = next(check.redetection for check in checks if check.hit)
    assert x1 < x2
    assert y1 < y2
    row = pa.Table.from_pylist([{"paste_x1": 1.0, "paste_y1": 2.0, "paste_x2": 3.0, "paste_y2": 4.0}], CHECK_SCHEMA)
    assert read_rows(row, Check)[0].pasted == (1.0, 2.0, 3.0, 4.0)
