from __future__ import annotations

import time

import pytest

from pipeline.artefacts import MiningCost
from pipeline.mining.cost import CostMeter


def test_nothing_costs_nothing():
    assert CostMeter().total() == MiningCost()
    assert MiningCost.total([]) == MiningCost()


def test_counts_add_up_by_name():
    meter = CostMeter()
    meter.count(pastes=3, canvases=1)
    meter.count(pastes=2, passes=4)
    assert meter.total() == MiningCost(pastes=5, canvases=1, passes=4)


def test_a_count_that_costs_do_not_have_is_refused():
    meter = CostMeter()
    meter.count(pictures=1)
    with pytest.raises(TypeError, match="pictures"):
        meter.total()


def test_time_adds_up_by_step_and_a_step_that_failed_is_not_counted():
    meter = CostMeter()
    for seconds in (0.02, 0.03):
        with meter.time("detect"):
            time.sleep(seconds)
    with pytest.raises(KeyError), meter.time("match"):
        raise KeyError
    seconds = meter.total().seconds
    assert seconds.keys() == {"detect"}
    assert seconds["detect"] >= 0.05


def test_what_was_handed_out_does_not_grow_later():
    meter = CostMeter()
    meter.count(pastes=1)
    before = meter.total()
    meter.count(pastes=1)
    assert (before.pastes, meter.total().pastes) == (1, 2)


def test_parts_are_summed_number_by_number_and_step_by_step():
    first = MiningCost(1, 2, 3, 4, 5, 6, 7, 8, 9, {"detect": 1.0, "paste": 0.5})
    second = MiningCost(10, 20, 30, 40, 50, 60, 70, 80, 90, {"detect": 2.0, "match": 0.25})
    expected = MiningCost(11, 22, 33, 44, 55, 66, 77, 88, 99, {"detect": 3.0, "match": 0.25, "paste": 0.5})
    assert MiningCost.total(iter([first, second])) == expected


def test_shares():
    cost = MiningCost(closeups=10, pastes=50, canvases=8, due=40, pasted=30, readings=75)
    assert (cost.pasted_share, cost.pastes_per_box, cost.windows_per_canvas) == (0.75, 2.5, 7.5)
    assert (MiningCost().pasted_share, MiningCost().pastes_per_box, MiningCost().windows_per_canvas) == (None,) * 3
