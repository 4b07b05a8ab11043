"""CALD and PPAL against examples written out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pipeline.selection.baselines import BASELINES
from pipeline.selection.cald import cald
from pipeline.selection.pool import OnDemand, Views
from pipeline.selection.ppal import ALPHA, BETA, class_weight, ppal
from tests.selection.pools import make_pool


def asked(values, pool):
    """Names of the images that are asked, best first."""
    return [pool.image_ids[index] for index in np.argsort(-values, kind="stable")[: int((values > 0).sum())]]


def looking(pool, distance, classes):
    views = Views(np.array(distance), np.array(classes, dtype=np.float64))
    return replace(pool, on_demand=OnDemand(lambda _: pa.table({}), lambda _: views, dict))


def test_cald_takes_the_least_stable_images_of_which_classes_that_are_rare_come_first():
    pool = replace(make_pool({name: [] for name in "abcdefg"}, budget=5), drawn={"bolt": 3.0, "nut": 0.0})
    bolts, nuts = [0.9, 0.0], [0.0, 0.9]
    seen = looking(pool, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], [bolts, nuts, bolts, nuts, bolts, nuts, nuts])
    # 1.2 x 5 = 6 candidates: g is the most stable and left out; of the six, the bolts are like what is labelled.
    assert asked(cald(seen), seen) == ["b", "d", "f", "a", "c"]


def test_cald_asks_first_about_images_in_which_nothing_is_found():
    pool = replace(make_pool({name: [] for name in "abc"}, budget=2), drawn={"bolt": 0.0, "nut": 3.0})
    seen = looking(pool, [0.0, 0.1, 0.2], [[0.0, 0.0], [0.9, 0.0], [0.9, 0.0]])
    assert asked(cald(seen), seen)[0] == "a"


@pytest.mark.parametrize(("quality", "expected"), [(1.0, 1.0), (0.0, 1 + BETA)])
def test_ppal_weighs_a_class_by_how_hard_it_is(quality, expected):
    assert class_weight(quality) == pytest.approx(expected)
    assert class_weight(0.5) == pytest.approx(1 + ALPHA * BETA * np.log(1 + (np.e ** (1 / ALPHA) - 1) / 2))


def test_ppal_seeks_among_the_most_uncertain_images_those_of_hard_classes_first():
    bolts = {f"b{n}": [{"label": "bolt", "entropy": 0.5}] for n in range(4)}
    nuts = {f"n{n}": [{"label": "nut", "entropy": 0.5}] for n in range(4)}
    for seed in range(5):
        pool = make_pool({**bolts, **nuts}, budget=1, seed=seed)  # four candidates
        assert [name[0] for name in asked(ppal(pool), pool)] == ["n"]


def test_ppal_takes_one_image_of_each_kind():
    """Two kinds of objects: the candidates of a kind are alike, and one medoid of each is asked about."""
    images = {f"b{n}": [{"label": "bolt", "score": 0.5}] for n in range(3)}
    images |= {f"n{n}": [{"label": "nut", "score": 0.5}] for n in range(3)}
    for seed in range(5):
        pool = make_pool(images, budget=2, seed=seed)
        assert {name[0] for name in asked(ppal(pool), pool)} == {"b", "n"}


def test_ppal_is_not_misled_by_the_number_of_boxes_of_a_kind():
    one = [{"label": "bolt", "score": 0.5}]
    pool = make_pool({"one": one, "many": one * 4, "nut": [{"label": "nut", "score": 0.5}] * 2}, budget=2)
    assert "nut" in asked(ppal(pool), pool)


@pytest.mark.parametrize("name", ["cald", "ppal"])
def test_without_what_it_needs_it_says_so(name):
    pool = replace(make_pool({"a": [{}]}), on_demand=None)
    with pytest.raises(ValueError, match="Expected a pool that can"):
        BASELINES[name](pool)
