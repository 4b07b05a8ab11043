from dataclasses import replace

import pytest

from pipeline.report import CycleContents, IndexContents, Turn, page_name
from pipeline.report.contents import measured
from tests.report.builders import MOMENT, NOT_MEASURED, cycle_contents, gate, opening, turns


@pytest.mark.parametrize("cycles", [[], [0], [0, 1], [2, 1], [1, 2, 2]])
def test_the_history_must_ascend_and_end_with_the_cycle(cycles):
    history = tuple(Turn(cycle=cycle, opened_at=MOMENT) for cycle in cycles)
    with pytest.raises(ValueError, match="Expected ascending turns that end with cycle 3"):
        CycleContents(opening=opening(3), turns=history)


def test_the_last_turn_is_this_cycle():
    assert CycleContents(opening=opening(2), turns=turns(3)).turn.cycle == 2


@pytest.mark.parametrize(
    ("outcome", "split"), [(None, "val"), (gate(1, 0.4, test=NOT_MEASURED), "val"), (gate(1, 0.4), "test")]
)
def test_test_is_quoted_where_it_was_measured(outcome, split):
    turn = Turn(cycle=1, opened_at=MOMENT, gate=outcome)
    assert turn.reported_split == split
    assert turn.metrics(split) == (outcome.on(split) if outcome else None)


def test_a_split_without_true_boxes_was_not_measured():
    outcome = gate(1, 0.4)
    turn = Turn(cycle=1, opened_at=MOMENT, gate=replace(outcome, test=replace(outcome.test, boxes=0)))
    assert turn.metrics("test") is None
    assert turn.reported_split == "val"


def test_measured_leaves_out_turns_without_metrics():
    first, second, third = turns(3)
    history = [first, replace(second, gate=None), third]
    assert measured([], "test") == []
    assert [turn.cycle for turn, _ in measured(history, "test")] == [0, 2]
    assert [metrics.map for _, metrics in measured(history, "test")] == [0.361, 0.4122]


def test_page_names_sort_by_cycle():
    assert page_name(3) == "cycle-0003.html"


def test_the_index_links_the_cycles_that_have_a_page():
    contents = cycle_contents()
    index = IndexContents.of(contents, ["cycle-0000.html", "cycle-0002.html", "cycle-0009.html", "index.html"])
    assert {"cycle-0000.html", "cycle-0002.html"} <= index.pages
    assert (index.name, index.turns, index.changes) == ("workshop parts", contents.turns, contents.changes)
