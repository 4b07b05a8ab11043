from collections import Counter

import pyarrow as pa
import pytest

from pipeline.records import CHECK_SCHEMA, QUEUE_SCHEMA, SELECTION_SCHEMA
from pipeline.report.choices import disputed, first_asked, least_sure_pseudo, most_likely_dropped
from tests.report.scenes import check_table, scenes, selection_table

EMPTY = SELECTION_SCHEMA.empty_table()


def _selection(*rows):
    columns = ("proposal_id", "image_id", "fate", "p_correct", "score", "consistency")
    return pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], schema=SELECTION_SCHEMA)


def _checks(*proposals):
    return pa.Table.from_pylist([{"proposal_id": name} for name in proposals], schema=CHECK_SCHEMA)


def test_of_an_empty_cycle_nothing_is_chosen():
    assert first_asked(QUEUE_SCHEMA.empty_table(), 5) == ([], 0)
    assert least_sure_pseudo(EMPTY, 5) == ([], 0)
    assert most_likely_dropped(EMPTY, 5) == ([], 0)
    assert disputed(EMPTY, CHECK_SCHEMA.empty_table(), 5) == ([], 0)


def test_asked_images_come_by_rank_and_audits_stay_out():
    kinds = {0: "ask", 1: "audit", 2: "ask", 3: "blind", 4: "ask"}
    queue = [{"image_id": str(rank), "rank": rank, "kind": kinds[rank]} for rank in (4, 1, 2, 0, 3)]
    rows, total = first_asked(pa.Table.from_pylist(queue, schema=QUEUE_SCHEMA), 2)
    assert [row.rank for row in rows] == [0, 2]
    assert total == 3


SELECTION = _selection(
    ("a", "one", "pseudo", 0.9, 0.9, 0.9),
    ("b", "one", "pseudo", 0.99, 0.9, 0.2),
    ("c", "two", "pseudo", 0.95, 0.2, 0.9),
    ("d", "two", "drop", 0.04, 0.5, 0.5),
    ("e", "three", "drop", None, 0.3, None),
    ("f", "three", "drop", 0.02, 0.3, 0.4),
    ("g", "four", "ask", 0.5, 0.8, 0.3),
)


def test_the_least_sure_pseudo_labels_come_first():
    images, total = least_sure_pseudo(SELECTION, 1)
    assert total == 2
    assert [(row.image_id, row.boxes, round(row.p_correct, 2)) for row in images] == [("one", 2, 0.9)]


def test_the_likeliest_of_the_dropped_come_first_and_a_missing_p_counts_as_0():
    images, total = most_likely_dropped(SELECTION, 9)
    assert total == 2
    assert [(row.image_id, row.boxes, round(row.p_correct, 2)) for row in images] == [
        ("two", 1, 0.04),
        ("three", 2, 0.02),
    ]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0, []), (1, ["b"]), (2, ["b", "c"]), (4, ["b", "g", "c", "f"]), (9, ["b", "g", "a", "d", "c", "f"])],
)
def test_disputed_boxes_come_from_both_sides(limit, expected):
    verdicts, total = disputed(SELECTION, _checks("a", "b", "b", "c", "d", "f", "g"), limit)
    assert [verdict.proposal_id for verdict in verdicts] == expected
    assert total == 6


def test_groups_equal_a_naive_count():
    selection = selection_table(scenes(30))
    naive = Counter(row["image_id"] for row in selection.to_pylist() if row["fate"] == "drop")
    images, total = most_likely_dropped(selection, 1000)
    assert {row.image_id: row.boxes for row in images} == naive
    assert total == len(naive)


def test_every_checked_box_comes_once():
    images = scenes(10)
    selection = selection_table(images)
    verdicts, total = disputed(selection, check_table(selection, images), 10_000)
    assert total == selection.num_rows == len(verdicts) == len({verdict.proposal_id for verdict in verdicts})
