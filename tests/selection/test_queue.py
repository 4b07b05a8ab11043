from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipeline.records import QUEUE_SCHEMA, TaskKind
from pipeline.selection.query import Worth
from pipeline.selection.queue import Candidates, Owed, plan_queue
from pipeline.settings import QuerySettings, SelectionSettings
from tests.selection.pools import make_pool

ASK, AUDIT, BLIND = TaskKind.ASK, TaskKind.AUDIT, TaskKind.BLIND
SURE = [{"fate": "pseudo", "p_correct": 0.99}]
DOUBTFUL = [{"fate": "ask", "p_correct": 0.5}]


def planned(images, before=None, *, worth=None, seed=0, cycle=0, most=4, audit_share=0.0, blind_share=0.0, boxes=None):
    """What people are asked: kinds by image, best first.

    Args:
        images: Proposals by image.
        before: What images that wait were asked for.
        worth: Of each image; by default the first is worth most.
        most: Images that may wait.
    """
    values = np.arange(len(images), 0, -1, dtype=np.float64) if worth is None else np.array(worth, dtype=np.float64)
    candidates = Candidates(make_pool(images, seed=seed, cycle=cycle), Worth(values, values, values))
    query = QuerySettings(images=most, blind_share=blind_share, boxes=boxes, shortlist_factor=1)
    queue = plan_queue(candidates, before or {}, SelectionSettings(query=query, audit_share=audit_share)).queue
    assert queue.schema == QUEUE_SCHEMA
    assert queue["rank"].to_pylist() == list(range(len(queue)))
    return {row["image_id"]: TaskKind(row["kind"]) for row in queue.to_pylist()}


def named(count, rows=DOUBTFUL, prefix="i"):
    return {f"{prefix}{number:02d}": rows for number in range(count)}


# New questions


@pytest.mark.parametrize("before", [None, {}])
def test_nobody_is_asked_about_an_empty_pool(before):
    assert planned({}, before) == {}


@pytest.mark.parametrize(("most", "expected"), [(0, []), (2, ["i00", "i01"]), (9, ["i00", "i01", "i02"])])
def test_the_most_valuable_images_are_asked_about_within_the_budget(most, expected):
    assert planned(named(3), most=most) == dict.fromkeys(expected, ASK)


def test_machine_boxes_are_bounded_too():
    images = {"few": DOUBTFUL, "many": DOUBTFUL * 5, "none": []}
    assert planned(images, boxes=2) == {"few": ASK, "none": ASK}


# Images that wait


def test_images_that_wait_count_towards_the_budget_and_keep_their_kind():
    queue = planned(named(8), {"i02": ASK, "i00": BLIND, "i01": ASK}, most=4)
    assert queue == {"i00": BLIND, "i01": ASK, "i02": ASK, "i03": ASK}


def test_a_waiting_image_that_fell_behind_leaves_and_makes_room():
    assert planned(named(5), {"i04": ASK, "i00": ASK}, most=2) == {"i00": ASK, "i01": ASK}


def test_a_blind_question_that_fell_behind_leaves_too():
    assert planned(named(5), {"i04": BLIND}, most=1) == {"i00": ASK}


def test_an_audit_stays_however_little_it_is_worth():
    """It was drawn at random; to drop the dull ones would flatter the machine."""
    assert planned(named(5), {"i04": AUDIT}, most=2) == {"i00": ASK, "i04": AUDIT}


def test_where_more_wait_than_may_be_asked_now_the_best_stay_and_nobody_is_added():
    before = dict.fromkeys(named(4), ASK)
    assert planned(named(6), before, most=2) == {"i00": ASK, "i01": ASK}
    audits = dict.fromkeys(named(4), AUDIT)
    assert planned(named(6), audits, most=2) == audits


def test_images_without_a_place_in_the_budget_leave_when_nobody_is_to_be_asked():
    assert planned(named(2), {"i00": ASK, "i01": AUDIT}, most=0) == {"i01": AUDIT}


# Audits


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 1), (0.5, 2), (1.0, 4)])
def test_a_share_of_the_new_questions_audits_pseudo_labels(share, count):
    images = {**named(10), **named(10, SURE, "sure")}
    queue = planned(images, most=4, audit_share=share)
    audits = [image_id for image_id, kind in queue.items() if kind is AUDIT]
    assert len(audits) == count
    assert all(image_id.startswith("sure") for image_id in audits)
    assert len(queue) == 4


def test_only_images_with_pseudo_labels_are_audited():
    assert AUDIT not in planned(named(6), most=4, audit_share=1.0).values()
    mixed = {"a": DOUBTFUL + SURE, "b": DOUBTFUL, "c": [], "d": [{"fate": "drop", "p_correct": 0.01}]}
    queue = planned(mixed, most=4, audit_share=1.0)
    assert [image_id for image_id, kind in queue.items() if kind is AUDIT] == ["a"]


def test_a_class_that_failed_its_audits_goes_on_being_audited():
    withdrawn = [{"fate": "ask", "p_correct": 0.99, "reason": "withdrawn_class"}]
    assert planned({"a": withdrawn}, most=1, audit_share=1.0) == {"a": AUDIT}


def test_an_image_that_waits_is_not_audited():
    before = {"sure00": ASK}
    queue = planned(named(2, SURE, "sure"), before, most=3, audit_share=1.0)
    assert queue == {"sure00": ASK, "sure01": AUDIT}


def test_audits_are_drawn_anew_each_cycle_and_alike_for_the_same_seed():
    images = named(40, SURE)

    def audits(**drawn):
        return tuple(sorted(planned(images, worth=np.ones(40), most=5, audit_share=1.0, **drawn)))

    assert audits(cycle=1) == audits(cycle=1)
    assert len({audits(seed=seed, cycle=cycle) for seed in (0, 1) for cycle in (0, 1)}) == 4


def test_audits_are_drawn_whatever_they_are_worth():
    """Each image as often as the others, so that the audited ones are like those that nobody sees."""
    images, worth = named(10, SURE), np.arange(10.0)
    drawn = [image_id for seed in range(100) for image_id in planned(images, worth=worth, most=2, audit_share=1.0,
                                                                      seed=seed)]  # fmt: skip
    counts = [drawn.count(image_id) for image_id in images]
    assert sum(counts) == 200
    assert min(counts) >= 8
    assert max(counts) <= 36


# Blind questions


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 1), (0.5, 2), (1.0, 4)])
def test_a_share_of_the_new_questions_is_blind(share, count):
    queue = planned(named(10), most=4, blind_share=share)
    assert list(queue) == ["i00", "i01", "i02", "i03"], "the same images as without"
    assert list(queue.values()).count(BLIND) == count


def test_images_that_people_saw_with_boxes_never_become_blind():
    before = {"i00": ASK, "i01": ASK}
    queue = planned(named(10), before, most=4, blind_share=1.0)
    assert queue == {"i00": ASK, "i01": ASK, "i02": BLIND, "i03": BLIND}


def test_audits_are_no_part_of_the_blind_share():
    images = {**named(10), **named(10, SURE, "sure")}
    queue = planned(images, most=4, audit_share=0.5, blind_share=0.5)
    assert sorted(queue.values()) == [ASK, AUDIT, AUDIT, BLIND]


def unseen_images(kind, share, cycles, most=10):
    """How many of each cycle's new images are blind, or audits, when all were answered before the next."""
    shares = {BLIND: 0.0, AUDIT: 0.0, kind: share}
    query = QuerySettings(images=most, blind_share=shares[BLIND])
    settings, owed, counts = SelectionSettings(audit_share=shares[AUDIT], query=query), None, []
    images = named(2 * most, SURE if kind is AUDIT else DOUBTFUL)
    for cycle in range(cycles):
        candidates = Candidates(make_pool(images, cycle=cycle, budget=most), Worth(*(np.ones(2 * most),) * 3))
        plan = plan_queue(candidates, {}, settings, owed)
        counts.append(plan.queue["kind"].to_pylist().count(kind.value))
        owed = plan.owed
        assert 0.0 <= owed.blind < 1.0
        assert 0.0 <= owed.audit < 1.0
    return counts


@pytest.mark.parametrize("kind", [BLIND, AUDIT])
@pytest.mark.parametrize(
    ("share", "most", "counts"),
    [
        (0.05, 10, [0, 1, 0, 1, 0, 1]),
        (0.1, 10, [1, 1, 1, 1, 1, 1]),
        (0.02, 10, [0, 0, 0, 0, 1, 0]),
        (0.25, 10, [2, 3, 2, 3, 2, 3]),
        (0.0, 10, [0] * 6),
        (1.0, 3, [3] * 6),
        (0.1, 1, [0] * 6),
    ],
)
def test_fractions_of_a_share_are_carried_over(kind, share, most, counts):
    assert unseen_images(kind, share, 6, most) == counts


def test_a_share_too_small_for_any_cycle_is_met_in_the_long_run():
    assert sum(unseen_images(BLIND, 0.1, 20, most=1)) == 2


def test_a_cycle_that_asks_nobody_owes_what_it_owed():
    candidates = Candidates(make_pool({}), Worth(*(np.zeros(0),) * 3))
    nobody = SelectionSettings(query=QuerySettings(images=0))
    assert plan_queue(candidates, {}, nobody, Owed(0.75, 0.5)).owed == Owed(0.75, 0.5)
    assert plan_queue(candidates, {}, SelectionSettings(), Owed(1.75, 1.75)).queue.num_rows == 0


def test_audits_that_no_image_is_there_for_are_owed_no_longer():
    candidates = Candidates(make_pool(named(20), budget=10), Worth(*(np.ones(20),) * 3))
    plan = plan_queue(candidates, {}, SelectionSettings(audit_share=0.25, query=QuerySettings(images=10)))
    assert plan.owed.audit == pytest.approx(0.5)


KINDS = st.sampled_from([None, None, ASK, AUDIT, BLIND])
SHARES = st.sampled_from([0.0, 0.1, 0.5, 1.0])


@examples(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(KINDS, st.sampled_from(["ask", "pseudo", "drop", None])), max_size=14),
    st.integers(0, 10),
    SHARES,
    SHARES,
    st.integers(0, 10_000),
)
def test_the_budget_is_never_overrun_and_what_waits_keeps_its_kind(rows, most, audit_share, blind_share, seed):
    images = {
        f"i{number:02d}": [] if fate is None else [{"fate": fate, "p_correct": 0.5}]
        for number, (_, fate) in enumerate(rows)
    }
    before = {f"i{number:02d}": kind for number, (kind, _) in enumerate(rows) if kind}
    worth = np.random.default_rng(seed).random(len(rows))
    queue = planned(images, before, worth=worth, most=most, audit_share=audit_share, blind_share=blind_share, seed=seed)
    assert all(queue[image_id] is kind for image_id, kind in before.items() if image_id in queue)
    audits = [image_id for image_id, kind in before.items() if kind is AUDIT]
    assert set(audits) <= set(queue)
    assert len(queue) <= max(most, len(audits))
    new = queue.keys() - before.keys()
    assert sum(queue[image_id] is AUDIT for image_id in new) <= round(most * audit_share)
    if most >= len(rows):
        assert before.keys() <= queue.keys(), "with room for all nobody has to leave"
