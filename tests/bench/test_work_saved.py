from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.bench.curve import CurvePoint
from pipeline.bench.human_work import HumanWork
from pipeline.bench.strategies import RoundResult
from pipeline.bench.work_saved import ceilings, draw, summarize, work_to_reach

FIRST = RoundResult("cells", 10, 0, "random", False, 0, 10, 50, 100.0, 0.2, 0.4, 0.2)


def rounds(strategy, maps, seed=0, pseudo=False, seconds=100.0):
    return [
        replace(
            FIRST,
            strategy=strategy,
            pseudo=pseudo,
            seed=seed,
            round=number,
            images=10 + 10 * number,
            boxes=50 + 50 * number,
            seconds=100.0 + seconds * number,
            map=level,
        )
        for number, level in enumerate(maps)
    ]


def test_work_is_read_off_where_a_curve_first_comes_to_a_level():
    own = rounds("random", [0.2, 0.4, 0.3, 0.6])
    assert work_to_reach(own, 0.3) == HumanWork(15, 75, 150)
    assert work_to_reach(own, 0.45) == HumanWork(35, 175, 350), "half of the way from .3 to .6"
    assert work_to_reach(own, 0.1) == HumanWork(10, 50, 100.0), "where it begins"
    assert work_to_reach(own, 0.7) is None
    assert work_to_reach([], 0.1) is None


def test_what_a_strategy_saves_is_a_share_of_the_seconds_of_random_selection():
    results = [*rounds("random", [0.1, 0.2, 0.3, 0.45]), *rounds("crosscheck", [0.1, 0.3, 0.45])]
    saved = {own.strategy: own.reached["0.9"] for own in summarize(results, {"cells": 0.5}).ways}
    assert saved["crosscheck"].work == HumanWork(30, 150, 300.0)
    assert saved["crosscheck"].saved == pytest.approx(1 - 300 / 400)
    assert saved["random"].saved == 0
    assert saved["crosscheck"].interval is None, "one seed tells nothing of the spread"


def test_seeds_that_never_get_there_are_counted_and_not_averaged():
    results = [
        *rounds("random", [0.1, 0.45], seed=0),
        *rounds("random", [0.1, 0.45], seed=1),
        *rounds("margin", [0.45], seed=0),
        *rounds("margin", [0.1, 0.2], seed=1),
    ]
    margin = next(own for own in summarize(results, {"cells": 0.5}).ways if own.strategy == "margin")
    reached = margin.reached["0.9"]
    assert (reached.seeds, reached.of) == (1, 2)
    assert reached.saved == pytest.approx(1 - 100 / 200)
    assert margin.reached["0.95"].work is None
    assert margin.reached["0.95"].saved is None


def test_the_interval_over_seeds_holds_the_mean_and_no_more_than_the_seeds_show():
    results = []
    for seed, price in enumerate([50.0, 60.0, 70.0]):
        results += rounds("random", [0.1, 0.45], seed=seed)
        results += rounds("crosscheck", [0.1, 0.45], seed=seed, seconds=price)
    reached = summarize(results, {"cells": 0.5}).ways[0].reached["0.9"]
    low, high = reached.interval
    assert 1 - 170 / 200 <= low < reached.saved < high <= 1 - 150 / 200


def test_the_area_is_taken_over_the_seconds_that_all_have_in_common():
    results = [*rounds("random", [0.0, 0.2, 0.4]), *rounds("crosscheck", [0.2, 0.4])]
    areas = {own.strategy: own.area for own in summarize(results, {}).ways}
    assert areas["random"] == pytest.approx(0.1)
    assert areas["crosscheck"] == pytest.approx(0.3)
    assert summarize(results, {}).ways[0].reached == {}, "no ceiling, no share of it"


def test_ways_with_and_without_pseudo_labels_are_apart():
    results = [*rounds("crosscheck", [0.1, 0.2]), *rounds("crosscheck", [0.3, 0.4], pseudo=True)]
    assert [(own.pseudo, own.last) for own in summarize(results, {}).ways] == [(False, 0.2), (True, 0.4)]


def test_the_ceiling_is_what_most_labels_give():
    points = [
        CurvePoint("cells", labelled, seed, level, 0.9, 100, 1.0, "plateau")
        for labelled, seed, level in [(5, 0, 0.9), (100, 0, 0.6), (100, 1, 0.7)]
    ]
    assert ceilings(points) == {"cells": pytest.approx(0.65)}


def test_the_figure_is_the_same_for_the_same_results(tmp_path):
    results = [*rounds("random", [0.1, 0.2]), *rounds("crosscheck", [0.1, 0.4], pseudo=True)]
    for name in ("a.svg", "b.svg"):
        draw(results, {"cells": 0.5}, tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert "crosscheck, pseudo-labels" in text


def lead_of(*results, strategy="crosscheck"):
    return next(own.lead for own in summarize(results, {}).ways if own.strategy == strategy)


def test_the_lead_is_what_is_saved_on_the_way_to_where_random_selection_ends():
    results = [*rounds("random", [0.1, 0.2, 0.3]), *rounds("crosscheck", [0.1, 0.3, 0.4])]
    lead = lead_of(*results)
    assert (lead.seeds, lead.of) == (1, 1)
    assert lead.saved == pytest.approx(1 - 200 / 300), "with the 100 seconds before anything was asked"
    assert lead.saved_asked == pytest.approx(1 - 100 / 200)
    assert lead.interval is None, "one seed tells nothing of the spread"
    itself = lead_of(*results, strategy="random")
    assert (itself.saved, itself.saved_asked) == (0, 0)


def test_who_never_comes_there_has_no_lead_and_seeds_are_paired():
    results = [
        *rounds("random", [0.1, 0.3]),
        *rounds("crosscheck", [0.1, 0.2]),
        *rounds("crosscheck", [0.1, 0.9], seed=1),
    ]
    lead = lead_of(*results)
    assert (lead.seeds, lead.of, lead.saved, lead.saved_asked) == (0, 1, None, None)
    assert lead_of(*rounds("crosscheck", [0.1, 0.2])) is None, "nothing to lead"


def test_the_interval_of_the_lead_is_over_seeds():
    results = []
    for seed, price in enumerate([50.0, 60.0, 70.0]):
        results += rounds("random", [0.1, 0.4], seed=seed)
        results += rounds("crosscheck", [0.1, 0.4], seed=seed, seconds=price)
    lead = lead_of(*results)
    low, high = lead.interval
    assert 0.3 <= low < lead.saved_asked < high <= 0.5
    assert lead.saved_asked == pytest.approx(0.4)
