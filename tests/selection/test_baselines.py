from dataclasses import fields, replace
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.mining.reference import gamma, gate_loss
from pipeline.records import SELECTION_SCHEMA
from pipeline.selection.baselines import BASELINES
from pipeline.selection.pool import Pool
from pipeline.settings import QuerySettings
from tests.selection.pools import make_pool

NAMES = sorted(BASELINES)


def test_every_strategy_of_the_settings_exists():
    offered = set(get_args(QuerySettings.model_fields["strategy"].annotation))
    assert offered == {*BASELINES, "crosscheck"}


# What holds for every strategy


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "images",
    [{}, {"a": []}, {"a": [], "b": []}, {"a": [{}], "b": []}, {"a": [{}, {"label": "nut"}], "b": [{}], "c": []}],
    ids=["empty pool", "one without proposals", "none with proposals", "one with proposals", "several"],
)
def test_every_image_has_a_value(name, images):
    values = BASELINES[name](make_pool(images))
    assert values.shape == (len(images),)
    assert np.isfinite(values).all()


UNMEASURED = dict.fromkeys(("consistency", "hit_fraction", "mean_iou", "spread", "closeup_score"))


@pytest.mark.parametrize("name", NAMES)
def test_what_was_not_measured_counts_as_zero(name):
    unmeasured, zero = (
        BASELINES[name](make_pool({"a": [{**values, "checks": 0, "score": 1.0}], "b": [{"score": 0.0}]}))
        for values in (UNMEASURED, dict.fromkeys(UNMEASURED, 0.0))
    )
    np.testing.assert_array_equal(unmeasured, zero)


@pytest.mark.parametrize("name", NAMES)
def test_values_stay_with_their_image_whatever_the_order_of_the_rows(name):
    images = {f"i{n}": [{"score": 0.1 * n + 0.05 * k, "entropy": 0.1 * n} for k in range(n)] for n in range(8)}
    pool = make_pool(images)
    shuffled = make_pool(images, order=np.random.default_rng(0).permutation(len(pool.selection)))
    np.testing.assert_allclose(BASELINES[name](shuffled), BASELINES[name](pool))


@pytest.mark.parametrize("name", NAMES)
def test_proposals_of_other_images_do_not_count(name):
    """Images that wait for an answer already are mined too."""
    images = {f"i{n}": [{"score": 0.3 + 0.1 * n}] for n in range(5)}
    whole = make_pool(images)
    alone = make_pool({name: rows for name, rows in images.items() if name != "i2"})
    among = replace(alone, selection=whole.selection)
    np.testing.assert_allclose(BASELINES[name](among), BASELINES[name](alone))


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_values(name):
    images = {f"i{n}": [{"score": 0.3 + 0.1 * n}] for n in range(5)}
    np.testing.assert_array_equal(BASELINES[name](make_pool(images)), BASELINES[name](make_pool(images)))


@pytest.mark.parametrize("name", NAMES)
def test_a_hidden_truth_would_change_nothing(name):
    """Even if somebody left the truth in the table, no strategy reads it."""
    pool = make_pool({f"i{n}": [{"score": 0.3 + 0.1 * n}] for n in range(5)})
    leaky = pool.selection.append_column("right", pa.array([True, False, True, False, True]))
    np.testing.assert_array_equal(BASELINES[name](replace(pool, selection=leaky)), BASELINES[name](pool))


def test_a_pool_holds_no_truth():
    assert {field.name for field in fields(Pool)} == {
        "selection",
        "image_ids",
        "embed",
        "seed",
        "cycle",
        "budget",
        "shown_from",
        "drawn",
        "on_demand",
    }
    assert not {"right", "truth", "true", "source", "human"} & set(SELECTION_SCHEMA.names)


# Each strategy


@pytest.mark.parametrize(
    ("name", "images", "expected"),
    [
        ("least_confidence", {"a": [{"score": 0.9}, {"score": 0.5}], "b": [{"score": 0.2}], "c": []}, [0.3, 0.8, 0]),
        ("margin", {"a": [{"score": 0.9, "runner_up": 0.2}], "b": [{"score": 0.5, "runner_up": 0.5}]}, [0.3, 1.0]),
        ("entropy", {"a": [{"entropy": 0.2}, {"entropy": 0.6}], "b": [], "c": [{"entropy": 1.0}]}, [0.4, 0, 1.0]),
    ],
)
def test_means_over_proposals(name, images, expected):
    np.testing.assert_allclose(BASELINES[name](make_pool(images)), expected, atol=1e-6)


def test_random_orders_differ_by_seed_and_cycle():
    images = {f"i{n}": [] for n in range(20)}
    drawn = [
        tuple(BASELINES["random"](make_pool(images, seed=seed, cycle=cycle)))
        for seed, cycle in ((0, 0), (1, 0), (0, 1))
    ]
    assert len(set(drawn)) == 3


def naive_core_set(embeddings, budget):
    """The farthest from all chosen, beginning with the farthest from the middle."""
    chosen = []
    middle = embeddings.mean(0)
    while len(chosen) < min(budget, len(embeddings)):
        centres = [middle, *(embeddings[index] for index in chosen)]
        distance = [
            -1.0 if index in chosen else min(np.linalg.norm(vector - other) for other in centres)
            for index, vector in enumerate(embeddings)
        ]
        chosen.append(int(np.argmax(distance)))
    return chosen


@pytest.mark.parametrize("budget", [0, 1, 4, 12, 40])
def test_core_set_is_greedy_k_center(budget):
    embeddings = np.random.default_rng(1).normal(size=(12, 3))
    values = BASELINES["core_set"](
        make_pool({f"i{n:02d}": [] for n in range(12)}, embeddings=embeddings, budget=budget)
    )
    ranked = np.argsort(-values, kind="stable")[: min(budget, 12)]
    assert ranked.tolist() == naive_core_set(embeddings, budget)


def test_core_set_among_copies_chooses_each_once():
    values = BASELINES["core_set"](make_pool({f"i{n}": [] for n in range(6)}, embeddings=np.zeros((6, 2)), budget=3))
    assert sorted(values.tolist(), reverse=True) == [6, 5, 4, 0, 0, 0]


@pytest.mark.parametrize(
    ("rows", "asked"),
    [
        ([], True),
        ([{"score": 0.49, "hit_fraction": 1.0}], True),
        ([{"score": 0.95, "hit_fraction": 0.6}], False),
        ([{"score": 0.95, "hit_fraction": 0.59}], True),
        ([{"score": 0.95, "hit_fraction": None}], True),
        ([{"score": 0.90, "hit_fraction": 1.0}], True),
        ([{"score": 0.95, "hit_fraction": 1.0}, {"score": 0.95, "hit_fraction": 0.0}], True),
        ([{"score": 0.95, "hit_fraction": 1.0}, {"score": 0.30, "hit_fraction": 0.0}], False),
    ],
    ids=[
        "no proposals", "none likely enough", "three hits of five", "fewer", "never pasted", "stopped by the gate",
        "one box fails its image", "an unlikely box does not count",
    ],
)  # fmt: skip
def test_ssm_asks_about_images_that_fail_its_rule(rows, asked):
    (value,) = BASELINES["ssm"](make_pool({"a": rows}))
    assert (value >= 1) == asked


@pytest.mark.parametrize("cycle", [0, 3])
@pytest.mark.parametrize("score", [0.8, 0.86, 0.87, 0.92, 0.93, 0.99])
def test_ssms_gate_is_the_references(score, cycle):
    loss = float(gate_loss(torch.tensor([[1 - score, score]]))[0])
    (value,) = BASELINES["ssm"](make_pool({"a": [{"score": score, "hit_fraction": 1.0}]}, cycle=cycle))
    assert (value >= 1) == (loss > gamma(cycle))


def test_ssm_takes_failing_images_at_random():
    images = {f"i{n}": [] for n in range(10)} | {f"s{n}": [{"score": 0.99, "hit_fraction": 1.0}] for n in range(10)}
    orders = {tuple(np.argsort(-BASELINES["ssm"](make_pool(images, seed=seed)))) for seed in range(3)}
    assert len(orders) == 3
    assert all(set(order[:10]) == set(range(10)) for order in orders)
