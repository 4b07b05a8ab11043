"""docs/sizing.md is its unit costs times counts, and the unit costs are those of the benchmarks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts import sizing

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_has_the_tables_that_the_script_computes():
    page = (DOCS / "sizing.md").read_text()
    assert sizing.units_table() in page
    assert sizing.needs_table() in page


def test_mining_costs_what_the_benchmark_measured():
    measured = json.loads((DOCS / "benchmarks/mining/bccd-0.json").read_text())
    assert pytest.approx(measured["engine"]["seconds"] / measured["images"], rel=0.02) == sizing.MINE.cost
    assert round(measured["proposals"] / measured["images"]) == sizing.PROPOSALS


def test_table_and_label_studio_cost_what_their_pages_say():
    of_table = re.search(r"\| first commit \|.*\| ([\d.]+) \| \d+ \| ([\d.]+) \|", (DOCS / "versions.md").read_text())
    assert float(of_table[1]) * 1e6 / 100_000 == pytest.approx(sizing.COMMIT.cost)
    assert float(of_table[2]) * 1e6 / 100_000 == pytest.approx(sizing.STORE.cost, rel=0.01)
    benchmarks = (DOCS / "benchmarks.md").read_text()
    for row, unit in (("push 10,000 tasks with their predictions", sizing.PUSH), ("harvest 10,000", sizing.HARVEST)):
        (seconds,) = re.findall(rf"\| {row}[^|]*\| \*\*([\d.]+)\*\*", benchmarks)
        assert float(seconds) * 1000 / 10_000 == pytest.approx(unit.cost, rel=0.02)


def test_sizes_are_measured_as_they_are_stated():
    found = sizing.measure()
    for unit in (sizing.PROPOSAL, sizing.CHECK, sizing.REF):
        assert found[unit.name] == pytest.approx(unit.cost, rel=0.1), unit.name


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00123, "0.0012"), (3.5, "3.5"), (36, "36"), (1234, "1,200"), (1e9, "1,000,000,000")],
)
def test_numbers_have_two_digits_that_count(value, text):
    assert sizing._number(value) == text
