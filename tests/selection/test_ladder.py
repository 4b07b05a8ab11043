import json

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit

from pipeline.errors import ArtefactError
from pipeline.selection.calibrate import CLOSER, PASTED, Calibrator
from pipeline.selection.ladder import Ladder, fit_ladder, out_of_fold
from pipeline.settings import SelectionSettings
from tests.selection.evidence import evidence_of, with_columns

SETTINGS = SelectionSettings(target_precision=0.8, confidence=0.9, min_class_boxes=10**6)
UNMEASURED = {**dict.fromkeys((*CLOSER, *PASTED)), "checks": 0}
NOT_PASTED = {**dict.fromkeys(PASTED), "checks": 0}


def rung(feature, at=0.5, model_id="m1"):
    """p(correct) above a half where a feature is above a value."""
    return Calibrator((feature,), ((),), (4.0,), -4.0 * at, {}, 100, model_id)


def ladder(first=None, second=None, model_id="m1"):
    rungs = (rung("score", model_id=model_id), rung("agreement"), rung("consistency"))
    everywhere = {"bolt": (0.0, 1.0)}
    return Ladder(rungs, (everywhere if first is None else first, everywhere if second is None else second), (4,))


def drawn(count=1_500, seed=0, labels=("bolt",), weak=()):
    """Boxes of which each rung tells more; those of weak classes are seldom right."""
    random = np.random.default_rng(seed)
    label = random.choice(np.array(labels, dtype=object), count)
    score, agreement, consistency = random.random((3, count))
    down = np.array([6.0 if one in weak else 0.0 for one in label])
    p_true = expit(6 * score + 6 * agreement + 6 * consistency - 11 - down)
    table = with_columns(
        evidence_of(*[{}] * count),
        score=score,
        agreement=agreement,
        consistency=consistency,
        label=label,
        image_id=[f"i{number // 10:04d}" for number in range(count)],
    )
    return table, random.random(count) < p_true


def prices(count, alone=0.01, pasted=0.1):
    return np.tile([alone, pasted], (count, 1))


def fitted(evidence, right, budget=None, settings=SETTINGS):
    return fit_ladder([evidence], right, prices(len(right)), settings, rounds=(4,), budget=budget, model_id="m1")


def left_out(evidence, right, budget=None):
    return out_of_fold([evidence], right, prices(len(right)), SETTINGS, rounds=(4,), budget=budget, model_id="m1")


# Where a proposal stands


def test_each_proposal_is_judged_by_what_is_known_of_it():
    bare, alone, pasted = (
        {"score": 0.9, **UNMEASURED},
        {"score": 0.9, "agreement": 0.1, "agreement_iou": 0.0, **NOT_PASTED},
        {"score": 0.9, "agreement": 0.1, "consistency": 0.7},
    )
    expected = [expit(1.6), expit(-1.6), expit(0.8)]
    np.testing.assert_allclose(ladder().predict(evidence_of(bare, alone, pasted)), expected, rtol=1e-5)
    np.testing.assert_allclose(ladder().predict(evidence_of(pasted, bare, alone)), np.roll(expected, 1), rtol=1e-5)


def test_nothing_is_told_of_no_proposals():
    assert ladder().predict(evidence_of()).shape == ladder().climbs(evidence_of()).shape == (0,)
    assert ladder().replay([evidence_of()]).shape == (0,)


def test_who_climbs():
    rows = evidence_of(
        {"score": 0.5, **UNMEASURED},
        {"score": 0.9, **UNMEASURED},
        {"score": 0.5, "label": "gear", **UNMEASURED},
        {"score": 0.9, "agreement": 0.9, **NOT_PASTED},
        {"score": 0.9, "agreement": 0.5, **NOT_PASTED},
    )
    told = ladder(first={"bolt": (0.4, 0.6)}, second={"bolt": (0.8, 0.9)}).climbs(rows)
    assert told.tolist() == [True, False, False, True, False]


def test_a_replay_is_what_the_pool_would_have_got():
    """Check only those that climb, step by step, and judge: the same as the replay."""
    evidence, right = drawn()
    made = fitted(evidence, right, budget=0.5)
    bare = with_columns(evidence, **{name: [None] * len(right) for name in (*CLOSER, *PASTED)}, checks=[0] * len(right))
    first = made.climbs(bare)

    def where(rows, *names):
        return {name: pa.array(evidence[name].to_pylist(), mask=~rows) for name in names}

    alone = with_columns(bare, **where(first, *CLOSER))
    second = first & made.climbs(alone)
    pasted = with_columns(alone, **where(second, *PASTED), checks=np.where(second, 4, 0))
    assert 0 < second.sum() < first.sum() < len(right)
    np.testing.assert_allclose(made.replay([evidence]), made.predict(pasted))


# Who is worth it


def test_those_climb_that_lie_next_to_the_threshold():
    evidence, right = drawn()
    made = fitted(evidence, right, budget=0.02)
    low, high = made.climbing[0]["bolt"]
    p_correct = made.rungs[0].predict(evidence)
    climbed = (low <= p_correct) & (p_correct <= high)
    assert 0.4 < low < high < 0.8, "looser than the promise, which the surer ones keep"
    assert 0 < climbed.sum() * 0.01 <= 0.02 * 150 / 2


@pytest.mark.parametrize("budget", [0.0, 0.02, 0.1, 0.5])
def test_checks_stay_within_the_budget(budget):
    evidence, right = drawn()
    made = fitted(evidence, right, budget)
    rows = evidence
    for rung_number, price in enumerate((0.01, 0.1)):
        p_correct = made.rungs[rung_number].predict(rows)
        low, high = made.climbing[rung_number].get("bolt", (2.0, -2.0))
        rows = rows.filter(pa.array((low <= p_correct) & (p_correct <= high)))
        assert len(rows) * price <= budget * 150 / 2 + 1e-9


def test_more_is_checked_where_more_may_be_spent():
    evidence, right = drawn()
    widths = []
    for budget in (0.02, 0.1, 0.5, None):
        low, high = fitted(evidence, right, budget).climbing[0]["bolt"]
        widths.append(high - low)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_without_a_limit_proposals_that_no_evidence_can_carry_stay_where_they_are():
    evidence, right = drawn()
    agreement = np.full(len(right), 0.5)
    idle = with_columns(evidence, agreement=agreement, consistency=agreement)
    made = fitted(idle, right, settings=SETTINGS.model_copy(update={"target_precision": 0.4}))
    low, high = made.climbing[0]["bolt"]
    assert high - low < 0.1, "the next rung moves nobody"


def test_a_class_that_cannot_be_certified_is_not_checked():
    evidence, right = drawn(labels=("bolt", "gear"), weak=("gear",))
    settings = SETTINGS.model_copy(update={"min_class_boxes": 30})
    made = fitted(evidence, right, settings=settings)
    assert [set(one) for one in made.climbing] == [{"bolt"}, {"bolt"}]


def test_where_no_class_can_be_certified_nothing_is_checked():
    evidence, right = drawn(weak=("bolt",))
    assert fitted(evidence, right).climbing == ({}, {})


# Rounds


def in_rounds(count=1_500):
    """Evidence after one paste and after all: the first says less."""
    evidence, right = drawn(count)
    noise = np.random.default_rng(7).normal(0, 0.3, count)
    first = with_columns(evidence, consistency=evidence["consistency"].to_numpy() + noise, checks=[2] * count)
    return [first, evidence], right


def fitted_in_rounds(rounds, right, budget):
    costs = np.tile([0.01, 0.05, 0.05], (len(right), 1))
    return fit_ladder(rounds, right, costs, SETTINGS, rounds=(2, 4), budget=budget, model_id="m1")


def test_a_round_has_a_rung_of_its_own_and_few_need_the_last():
    rounds, right = in_rounds()
    made = fitted_in_rounds(rounds, right, budget=0.6)
    assert len(made.rungs) == 4
    climbing = [int(made.climbs(with_columns(rounds[0], checks=[count] * len(right))).sum()) for count in (0, 2, 4)]
    assert climbing[2] == 0, "who was pasted in full has nowhere to climb"
    assert 0 < climbing[1] < len(right)


def test_a_replay_in_rounds_is_what_the_pool_would_have_got():
    rounds, right = in_rounds()
    made = fitted_in_rounds(rounds, right, budget=0.6)
    bare = with_columns(
        rounds[1], **{name: [None] * len(right) for name in (*CLOSER, *PASTED)}, checks=[0] * len(right)
    )
    rows, evidence = made.climbs(bare), bare
    for names, table in ((CLOSER, rounds[1]), (("checks", *PASTED), rounds[0]), (("checks", *PASTED), rounds[1])):
        known = {name: np.where(rows, table[name].to_pylist(), evidence[name].to_pylist()).tolist() for name in names}
        evidence = with_columns(evidence, **known)
        rows = rows & made.climbs(evidence)
    np.testing.assert_allclose(made.replay(rounds), made.predict(evidence))


# Out of fold


def test_evidence_that_is_paid_for_sharpens_the_judgement():
    evidence, right = drawn()
    gated, full = left_out(evidence, right, 0.3)
    cheap, _ = left_out(evidence, right, 0.0)
    brier = [np.mean((one - right) ** 2) for one in (full, gated, cheap)]
    assert brier == sorted(brier)
    assert brier[0] < brier[2]


def test_no_box_is_judged_by_a_ladder_that_saw_its_picture():
    """Features that only tell pictures apart: learnt by heart they look good, out of fold they do not."""
    random = np.random.default_rng(1)
    right = np.repeat(random.permutation(np.arange(20) % 2 == 0), 20)
    names = ("score", "entropy", "agreement", "consistency", "spread", "votes")
    evidence = with_columns(
        evidence_of(*[{}] * 400),
        image_id=[f"i{number // 20}" for number in range(400)],
        **{name: np.repeat(random.random(20), 20) for name in names},
    )
    by_heart = fitted(evidence, right).rungs[-1].predict(evidence)
    gated, full = left_out(evidence, right)
    assert by_heart[right].mean() - by_heart[~right].mean() > 0.1
    for one in (gated, full):
        assert one[right].mean() - one[~right].mean() < 0.05


@pytest.mark.parametrize("count", [0, 1, 10])
def test_few_boxes_and_a_single_picture(count):
    evidence, right = drawn(count)
    for one in left_out(evidence, right):
        assert one.shape == (count,)
        assert ((one > 0) & (one < 1)).all()


# Keeping


def test_json_and_back():
    evidence, right = drawn(300)
    made = fitted(evidence, right, budget=0.5)
    again = Ladder.from_json(json.loads(json.dumps(made.to_json(), allow_nan=False)))
    assert again == made
    np.testing.assert_array_equal(again.replay([evidence]), made.replay([evidence]))


def test_another_models_proposals_are_refused():
    with pytest.raises(ArtefactError, match="Expected proposals of model other"):
        ladder(model_id="other").predict(evidence_of({}, {"score": 0.1, **UNMEASURED}))


def test_fitting_repeats_itself():
    evidence, right = drawn(300)
    assert fitted(evidence, right, 0.2) == fitted(evidence, right, 0.2)
