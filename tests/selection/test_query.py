from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipeline.records import QUEUE_SCHEMA, TaskKind
from pipeline.selection.baselines import BASELINES
from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.selection.query import (
    Worth,
    choose_images,
    class_weights,
    expected_worth,
    no_longer_worth,
    queue_table,
)
from pipeline.settings import QuerySettings
from tests.selection.pools import make_pool

STRATEGIES = ["crosscheck", *sorted(BASELINES)]


def missing(per_image=0.0, label="bolt"):
    """As many misses of one class in every image, whatever is proposed."""
    nothing = (0.0,) * 4
    return MissedObjectsModel((label,), (per_image,), nothing, (1.0,) * 4, nothing, 0.0)


def worth_of(pool, weights=None, missed=None):
    return expected_worth(pool, weights or {}, missed or missing())


def choose(pool, values=None, **settings):
    worth = worth_of(pool) if values is None else Worth(*(np.array(values, dtype=np.float64),) * 3)
    return choose_images(pool, worth, QuerySettings(**settings))


# Weights of classes


@pytest.mark.parametrize(
    ("counts", "power", "expected"),
    [
        ({}, 0.5, {}),
        ({"bolt": 7}, 0.5, {"bolt": 1.0}),
        ({"bolt": 99, "nut": 9}, 0.0, {"bolt": 1.0, "nut": 1.0}),
        ({"bolt": 99, "nut": 9}, 1.0, {"bolt": 2 / 11, "nut": 20 / 11}),
        ({"bolt": 99, "nut": 24}, 0.5, {"bolt": 2 / 3, "nut": 4 / 3}),
        ({"bolt": 3, "nut": 0}, 1.0, {"bolt": 0.4, "nut": 1.6}),
    ],
    ids=["no classes", "one class", "all alike", "by frequency", "by its root", "a class never seen"],
)
def test_class_weights(counts, power, expected):
    assert class_weights(counts, power) == pytest.approx(expected)


# Worth


def test_worth_of_an_empty_pool():
    worth = worth_of(make_pool({}))
    assert len(worth.value) == len(worth.corrections) == len(worth.misses) == 0


ASKED, SURE, DROPPED = {"fate": "ask"}, {"fate": "pseudo"}, {"fate": "drop"}


@pytest.mark.parametrize(
    ("rows", "value", "corrections", "misses"),
    [
        ([], 0.0, 0.0, 0.0),
        ([{**ASKED, "p_correct": 0.5}], 0.25, 0.25, 0.0),
        ([{**SURE, "p_correct": 0.9}], 0.09, 0.09, 0.0),
        ([{**ASKED, "p_correct": 0.0}], 0.0, 0.0, 0.0),
        ([{**DROPPED, "p_correct": 0.04}], 0.04, 0.0, 0.04),
        ([{**ASKED, "p_correct": 0.5}, {**SURE, "p_correct": 0.9}, {**DROPPED, "p_correct": 0.04}], 0.38, 0.34, 0.04),
        ([{**ASKED, "p_correct": 0.5, "label": "nut"}, {**ASKED, "p_correct": 0.5}], 1.0, 0.5, 0.0),
        ([{**DROPPED, "p_correct": 0.04, "label": "nut"}], 0.12, 0.0, 0.04),
    ],
    ids=["nothing proposed", "torn", "sure", "surely wrong", "dropped", "all three", "a rare class", "rare, dropped"],
)
def test_expected_worth(rows, value, corrections, misses):
    worth = worth_of(make_pool({"a": rows}), {"nut": 3.0})
    assert worth.value.tolist() == pytest.approx([value], abs=1e-6)
    assert worth.corrections.tolist() == pytest.approx([corrections], abs=1e-6)
    assert worth.misses.tolist() == pytest.approx([misses], abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "label", "value", "misses"),
    [
        ([], "bolt", 1.5, 1.5),
        ([{**ASKED, "p_correct": 0.5}], "bolt", 1.75, 1.5),
        ([{**DROPPED, "p_correct": 0.04}], "nut", 4.54, 1.54),
    ],
    ids=["nothing proposed", "beside what is asked", "beside what is dropped, of a rare class"],
)
def test_what_is_never_proposed_is_worth_an_answer(rows, label, value, misses):
    worth = worth_of(make_pool({"a": rows}), {"nut": 3.0}, missing(1.5, label))
    assert worth.value.tolist() == pytest.approx([value], abs=1e-6)
    assert worth.misses.tolist() == pytest.approx([misses], abs=1e-6)


def test_what_is_shown_changes_what_is_expected_of_people_and_not_what_an_answer_is_worth():
    pool = make_pool({"a": [{**ASKED, "p_correct": 0.5}, {**ASKED, "p_correct": 0.2}, {**SURE, "p_correct": 0.9}]})
    shown, hidden = (worth_of(replace(pool, shown_from=least)) for least in (0.3, None))
    assert shown.value.tolist() == hidden.value.tolist() == pytest.approx([0.5])
    assert (shown.corrections[0], shown.misses[0]) == pytest.approx((0.34, 0.2))
    assert (hidden.corrections[0], hidden.misses[0]) == pytest.approx((0.0, 1.6))


def test_rare_classes_are_asked_first():
    images = {f"common{n}": [{"label": "bolt"}] for n in range(5)} | {"rare": [{"label": "nut"}]}
    pool = make_pool(images, budget=1)
    worth = worth_of(pool, class_weights({"bolt": 200, "nut": 5}, 1.0))
    assert choose_images(pool, worth, QuerySettings(shortlist_factor=1)) == ["rare"]


# Choice


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("count", "budget"), [(0, 0), (0, 3), (5, 0), (1, 1), (5, 3), (5, 5), (5, 9)])
def test_the_budget_in_images_is_used_and_not_overrun(count, budget, strategy):
    pool = make_pool({f"i{n}": [{}] * (n % 3) for n in range(count)}, budget=budget)
    chosen = choose(pool, strategy=strategy)
    assert len(set(chosen)) == len(chosen) == min(count, budget)
    assert set(chosen) <= set(pool.image_ids)


FATES = st.lists(st.sampled_from(["ask", "pseudo", "drop"]), max_size=6)


@examples(max_examples=60, deadline=None)
@given(
    st.lists(FATES, max_size=12),
    st.integers(0, 14),
    st.one_of(st.none(), st.integers(1, 20)),
    st.sampled_from(STRATEGIES),
    st.integers(0, 1000),
)
def test_neither_budget_is_ever_overrun(fates, images, boxes, strategy, seed):
    random = np.random.default_rng(seed)
    rows = {
        f"i{n:02d}": [{"fate": fate, "p_correct": float(random.random())} for fate in own]
        for n, own in enumerate(fates)
    }
    pool = make_pool(rows, embeddings=random.integers(0, 3, (len(rows), 2)), budget=images, seed=seed)
    chosen = choose(pool, strategy=strategy, boxes=boxes)
    shown = {image_id: sum(row["fate"] != "drop" for row in own) for image_id, own in rows.items()}
    assert len(set(chosen)) == len(chosen) <= images
    assert boxes is None or sum(shown[image_id] for image_id in chosen) <= boxes
    if boxes is None:
        assert len(chosen) == min(images, len(rows))


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [(None, ["huge", "one", "two"]), (1, ["one", "none"]), (2, ["one", "none"]), (3, ["one", "two", "none"])],
)
def test_an_image_with_too_many_boxes_does_not_block_the_others(boxes, expected):
    images = {"none": [], "two": [{}] * 2, "one": [{}], "huge": [{}] * 30}
    scored = {name: [{**row, "score": 0.1 if name == "huge" else 0.3} for row in rows] for name, rows in images.items()}
    scored["two"] = [{"score": 0.5}] * 2
    assert choose(make_pool(scored), strategy="least_confidence", boxes=boxes) == expected


def test_dropped_boxes_are_not_shown_and_cost_nothing():
    pool = make_pool({"a": [{"fate": "drop", "p_correct": 0.01}] * 50 + [{}]}, budget=1)
    assert choose(pool, boxes=1) == ["a"]


@pytest.mark.parametrize("strategy", ["entropy", "least_confidence", "margin"])
def test_baselines_ask_best_first_and_equals_by_id(strategy):
    images = {
        name: [{"score": score, "runner_up": 0.0, "entropy": 1 - score}]
        for name, score in (("d", 0.5), ("b", 0.1), ("a", 0.5), ("c", 0.9))
    }
    assert choose(make_pool(images, budget=4), strategy=strategy) == ["b", "a", "d", "c"]


def test_ours_are_asked_best_first_and_equals_by_id():
    pool = make_pool({name: [] for name in "dbac"}, budget=4)
    assert choose(pool, [0.5, 0.9, 0.5, 0.1]) == ["b", "a", "d", "c"]


def test_ours_come_from_the_shortlist():
    pool = make_pool({f"i{n:02d}": [] for n in range(40)}, budget=3)
    values = np.arange(40, dtype=np.float64)
    for factor in (1, 2, 4):
        assert set(choose(pool, values, shortlist_factor=factor)) <= set(pool.image_ids[-3 * factor :])
    assert choose(pool, values, shortlist_factor=1) == ["i39", "i38", "i37"]


@pytest.mark.parametrize("seed", range(5))
def test_of_equal_value_unlike_images_are_chosen(seed):
    """Two clusters, one after the other by id: the best by value alone would all be of the first."""
    embeddings = np.repeat([[1.0, 0.0], [0.0, 1.0]], 4, axis=0)
    embeddings += np.random.default_rng(seed).normal(0, 0.01, (8, 2))
    pool = make_pool({f"i{n}": [] for n in range(8)}, embeddings=embeddings, budget=2, seed=seed)
    assert sorted(pool.image_ids.index(image_id) // 4 for image_id in choose(pool, np.ones(8))) == [0, 1]
    assert choose(pool, np.ones(8), shortlist_factor=1) == ["i0", "i1"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_choice_repeats_itself(strategy):
    images = {f"i{n:02d}": [{"score": 0.02 * n, "p_correct": 0.02 * n}] for n in range(40)}
    rows = np.random.default_rng(1).permutation(40)
    assert choose(make_pool(images), strategy=strategy) == choose(make_pool(images, order=rows), strategy=strategy)


def test_only_the_shortlist_is_embedded():
    asked_for = []
    pool = make_pool({f"i{n:02d}": [] for n in range(40)}, budget=2)
    embed = pool.embed

    def watched(image_ids):
        asked_for.append(image_ids)
        return embed(image_ids)

    choose(type(pool)(**{**vars(pool), "embed": watched}), np.arange(40), shortlist_factor=3)
    assert asked_for == [[f"i{n}" for n in range(34, 40)]]


# What need not be asked any more


@pytest.mark.parametrize(
    ("budget", "waiting", "gone"),
    [
        (2, [], set()),
        (2, ["i4", "i3"], set()),
        (2, ["i3", "i1"], {"i1"}),
        (2, ["i0", "i1", "i2"], {"i0", "i1", "i2"}),
        (9, ["i0", "i1"], set()),
        (0, ["i4"], {"i4"}),
    ],
    ids=["none waits", "the best wait", "one fell behind", "all did", "room for all", "nobody is to be asked"],
)
def test_images_worth_less_than_what_would_be_chosen_now_leave(budget, waiting, gone):
    pool = make_pool({f"i{n}": [] for n in range(5)}, budget=budget)
    worth = Worth(*(np.arange(5, dtype=np.float64),) * 3)
    settings = QuerySettings(shortlist_factor=1, boxes=1)
    assert no_longer_worth(pool, worth, waiting, settings) == gone


def test_as_much_worth_as_the_last_chosen_is_worth_asking():
    pool = make_pool({name: [] for name in "abcd"}, budget=1)
    assert no_longer_worth(pool, Worth(*(np.ones(4),) * 3), ["d"], QuerySettings()) == set()


@pytest.mark.parametrize("strategy", sorted(BASELINES))
def test_baselines_never_take_a_question_back(strategy):
    pool = make_pool({f"i{n}": [{"score": 0.1 * n}] for n in range(5)}, budget=1)
    assert no_longer_worth(pool, worth_of(pool), list(pool.image_ids), QuerySettings(strategy=strategy)) == set()


# The queue


def queue_of(images, kinds=None, **options):
    pool = make_pool(images)
    kinds = dict.fromkeys(images, TaskKind.ASK) if kinds is None else kinds
    return queue_table(pool, worth_of(pool, **options), kinds)


def test_an_empty_queue():
    assert queue_of({}).equals(QUEUE_SCHEMA.empty_table())
    assert queue_of({"a": [{}]}, kinds={}).equals(QUEUE_SCHEMA.empty_table())


def test_the_queue_is_ranked_by_worth_and_equals_by_id():
    torn, sure = [{"p_correct": 0.5}], [{"p_correct": 0.9}]
    queue = queue_of({"d": torn, "b": sure, "a": torn, "c": [], "e": torn}, missed=missing(0.2))
    assert queue["image_id"].to_pylist() == ["a", "d", "e", "b", "c"]
    assert queue["rank"].to_pylist() == [0, 1, 2, 3, 4]
    assert queue["value"].to_pylist() == pytest.approx([0.45, 0.45, 0.45, 0.29, 0.2], abs=1e-6)


def test_a_row_says_what_is_expected_of_it():
    rows = [{"p_correct": 0.5}, {"p_correct": 0.9, "fate": "pseudo"}, {"p_correct": 0.04, "fate": "drop"}]
    (row,) = queue_of({"a": rows}).to_pylist()
    assert row["boxes"] == 2
    assert row["kind"] == "ask"
    assert row["expected_corrections"] == pytest.approx(0.34)
    assert row["expected_missed"] == pytest.approx(0.04)


@pytest.mark.parametrize("kind", [TaskKind.AUDIT, TaskKind.BLIND])
def test_who_draws_blind_learns_nothing_of_the_machine(kind):
    queue = queue_of(
        {"a": [{"label": "nut", "p_correct": 0.99, "fate": "pseudo"}], "b": [{}]}, {"a": kind, "b": TaskKind.ASK}
    )
    row = {row["image_id"]: row for row in queue.to_pylist()}["a"]
    assert row["kind"] == kind.value
    assert row["boxes"] == 0
    assert row["reason"] == "please draw every object"


def test_the_reason_is_that_of_the_image():
    rows = [{"label": "gear", "p_correct": 0.41, "hit_fraction": 0.25, "checks": 4}]
    assert queue_of({"a": rows})["reason"].to_pylist() == ["really a gear? found again in 1 of 4 images"]


def test_nothing_in_a_queue_is_not_a_number():
    unmeasured = dict.fromkeys(("consistency", "hit_fraction", "mean_iou", "spread", "closeup_score"))
    queue = queue_of({"a": [], "b": [{**unmeasured, "checks": 0}], "c": [{"p_correct": 0.0}, {"p_correct": 1.0}]})
    for name in ("value", "expected_corrections", "expected_missed", "boxes"):
        assert queue[name].null_count == 0
        assert np.isfinite(queue[name].to_numpy()).all()
