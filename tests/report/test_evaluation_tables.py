from dataclasses import replace

import pytest

from pipeline.artefacts import ERROR_TYPES
from pipeline.report.evaluation_tables import class_sizes, errors, forgotten
from tests.report.builders import NOT_MEASURED, gate

MEASURED = gate(1, 0.4).test


@pytest.mark.parametrize(
    "table", [class_sizes(NOT_MEASURED, "test"), errors(NOT_MEASURED, "test"), forgotten(gate(0, 0.4))]
)
def test_nothing_measured(table):
    assert table.rows == ()


def test_classes_by_size_the_worst_first():
    table = class_sizes(MEASURED, "test")
    assert table.rows[0] == ("bolt", "0.300 [0.250–0.350]", "–", "0.300", "0.400")
    assert len(table.rows) == len(MEASURED.per_class)


def test_a_class_that_was_not_measured_is_left_out():
    bolt = replace(MEASURED.per_class["bolt"], interval=None)
    table = class_sizes(replace(MEASURED, per_class={**MEASURED.per_class, "bolt": bolt}), "test")
    assert "bolt" not in [row[0] for row in table.rows]


def test_many_classes_are_cut_with_a_count():
    labels = tuple(f"class {place:02d}" for place in range(80))
    table = class_sizes(gate(0, 0.4, labels=labels).test, "test")
    assert len(table.rows) == 30
    assert table.note == "30 of 80 classes shown; all in metrics.json."


def test_the_costliest_errors_come_first():
    table = errors(MEASURED, "test")
    assert table.rows[0] == ("missed", ERROR_TYPES["missed"], "0.100", "50")
    assert [row[0] for row in table.rows] == list(ERROR_TYPES)[::-1]


def test_forgotten_classes_are_named_with_what_they_lost():
    assert forgotten(gate(1, 0.4)).rows == (("bolt", "0.500", "0.410", "−0.090 [−0.160 to −0.020]"),)
