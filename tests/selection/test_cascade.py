import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from pipeline.errors import ArtefactError
from pipeline.records import VISIBLE_SHARE
from pipeline.selection.calibrator import CLOSER, LOOKED, PASTED, Calibrator
from pipeline.selection.cascade import Cascade, stage_of
from pipeline.selection.cascade_fitting import BESIDE_PIXELS, SPENT, CascadePlan, KnownBoxes, fit_cascade, out_of_fold
from pipeline.selection.class_affinity import NOTHING, ClassAffinity
from pipeline.selection.escalation import LOOK
from pipeline.settings import SelectionSettings
from tests.selection.evidence import evidence_of, with_columns
from tests.selection.keeping import written_and_read

SETTINGS = SelectionSettings(target_precision=0.8, confidence=0.9, min_class_boxes=10**6)
UNMEASURED = {**dict.fromkeys((*LOOKED, *CLOSER, *PASTED)), "checks": 0}
NOT_SHOWN = {**dict.fromkeys((*CLOSER, *PASTED)), "checks": 0}
NOT_PASTED = {**dict.fromkeys(PASTED), "checks": 0}


def stage(feature, at=0.5, model_id="m1"):
    """p(correct) above a half where a feature is above a value."""
    return Calibrator((feature,), ((),), (4.0,), -4.0 * at, {}, 100, model_id)


def cascade(*advancing, model_id="m1", drop_below=0.0):
    features = ("score", "tta_score", "closeup_score")
    stages = tuple(stage(name, model_id=model_id) for feature in features for name in (feature, "consistency"))
    return Cascade(stages, advancing or ({"bolt": (0.0, 1.0)},) * 2, (ClassAffinity(),), drop_below=drop_below)


def drawn(count=1_500, seed=0, labels=("bolt",), weak=()):
    """Boxes of which each stage says more; those of weak classes are seldom right."""
    random = np.random.default_rng(seed)
    label = random.choice(np.array(labels, dtype=object), count)
    score, augmented, closeup, consistency = random.random((4, count))
    down = np.where(np.isin(label.astype(str), weak), 6.0, 0.0)
    p_true = expit(6 * score + 4 * augmented + 6 * closeup + 6 * consistency - 13 - down)
    table = with_columns(
        evidence_of(*[{}] * count),
        score=score,
        tta_score=augmented,
        closeup_score=closeup,
        consistency=consistency,
        label=label,
        image_id=[f"i{number // 10:04d}" for number in range(count)],
    )
    return table, random.random(count) < p_true


def prices(count, augmented=0.05, closeup=0.01, pastes=0.02, more=0.01):
    return np.tile([augmented, closeup, pastes, more], (count, 1))


def objects(evidence, right):
    """Wrong boxes show nothing."""
    return np.where(right, evidence["label"].to_pylist(), NOTHING).astype(np.str_)


def fitted(evidence, right, look_budget=None, settings=SETTINGS):
    known = KnownBoxes(evidence, right, objects(evidence, right), prices(len(right)))
    return fit_cascade(known, CascadePlan(settings, "m1", look_budget=look_budget))


def left_out(evidence, right, look_budget=None, shown=None):
    shown = objects(evidence, right) if shown is None else shown
    known = KnownBoxes(evidence, right, shown, prices(len(right)))
    return out_of_fold(known, CascadePlan(SETTINGS, "m1", look_budget=look_budget))


# Where a proposal stands


def test_each_proposal_is_judged_by_what_is_known_of_it():
    rows = [
        {"score": 0.9, **UNMEASURED},
        {"score": 0.9, "tta_score": 0.6, **NOT_SHOWN},
        {"score": 0.9, "tta_score": 0.6, "closeup_score": 0.1, "closeup_iou": 0.0, **NOT_PASTED},
        {"score": 0.9, "tta_score": 0.6, "closeup_score": 0.1, "consistency": 0.7},
        {"score": 0.9, **UNMEASURED, "consistency": 0.3, "checks": 2},
    ]
    expected = [expit(1.6), expit(0.4), expit(-1.6), expit(0.8), expit(-0.8)]
    np.testing.assert_allclose(cascade().predict(evidence_of(*rows)), expected, rtol=1e-5)
    np.testing.assert_allclose(cascade().predict(evidence_of(*np.roll(rows, 1))), np.roll(expected, 1), rtol=1e-5)


def test_no_proposals():
    nothing = evidence_of()
    assert cascade().predict(nothing).shape == cascade().looks(nothing).shape == cascade().worth(nothing).shape == (0,)
    assert cascade().replay(nothing).shape == (0,)


def test_who_is_looked_at_again():
    rows = evidence_of(
        {"tta_score": 0.5, **NOT_SHOWN},
        {"tta_score": 0.9, **NOT_SHOWN},
        {"tta_score": 0.5, "label": "gear", **NOT_SHOWN},
        {"closeup_score": 0.5, **NOT_PASTED},
    )
    assert cascade({}, {"bolt": (0.4, 0.6)}).looks(rows).tolist() == [True, False, False, False]


def test_all_proposals_of_an_image_get_its_augmented_view_together():
    rows = evidence_of(
        {"score": 0.5, "image_id": "a", **UNMEASURED},
        {"score": 0.9, "image_id": "a", **UNMEASURED},
        {"score": 0.9, "image_id": "b", **UNMEASURED},
        {"score": 0.1, "image_id": "a", "label": "gear", **UNMEASURED},
    )
    assert cascade({"bolt": (0.4, 0.6)}, {}).looks(rows).tolist() == [True, True, False, True]


def test_what_is_not_dropped_is_pasted_whatever_its_class_the_surest_first():
    rows = evidence_of(*({"score": score, **UNMEASURED, "label": label} for score, label in DOUBTS))
    worth = cascade({}, {}, drop_below=0.3).worth(rows)
    np.testing.assert_allclose(worth, [expit(1.6), np.nan, expit(0.4)], rtol=1e-5)


DOUBTS = [(0.9, "bolt"), (0.1, "bolt"), (0.6, "gear")]


def pool_would_get(made, whole):
    """Check only what is worth it, step by step: the evidence of the pool's proposals."""
    nothing = {name: [None] * len(whole) for name in (*LOOKED, *CLOSER, *PASTED)}
    evidence = with_columns(whole, **nothing, checks=[0] * len(whole))
    looked = []
    for names in (LOOKED, CLOSER):
        rows = made.looks(evidence)
        looked.append(int(rows.sum()))
        evidence = measured(evidence, whole, rows, names)
    return measured(evidence, whole, np.isfinite(made.worth(evidence)), ("checks", *PASTED)), looked


def measured(evidence, whole, rows, names):
    known = {name: np.where(rows, whole[name].to_pylist(), evidence[name].to_pylist()).tolist() for name in names}
    return with_columns(evidence, **known)


def test_a_replay_is_what_the_pool_would_have_got():
    evidence, right = drawn()
    made = fitted(evidence, right, look_budget=0.05, settings=SETTINGS.model_copy(update={"drop_below": 0.3}))
    pool, looked = pool_would_get(made, evidence)
    pasted = (pool["checks"].to_numpy() > 0).sum()
    assert 0 < looked[1] < looked[0] < len(right)
    assert 0 < pasted < len(right)
    np.testing.assert_allclose(made.replay(evidence), made.predict(pool))


def test_no_box_that_is_asked_about_or_written_goes_unpasted():
    evidence, right = drawn()
    made = fitted(evidence, right, look_budget=0.05, settings=SETTINGS.model_copy(update={"drop_below": 0.3}))
    pool, _ = pool_would_get(made, evidence)
    unpasted = pool["checks"].to_numpy() == 0
    assert unpasted.any()
    assert made.predict(pool)[unpasted].max() < 0.3


# What pastes leave of the passes


def looks_for(passes, look_budget=None, budget=None, torn=0.5):
    evidence, right = drawn(count=400)
    evidence = with_columns(evidence, hit_fraction=np.where(np.arange(400) % 2 < 2 * torn, 0.5, 1.0))
    known = KnownBoxes(evidence, right, objects(evidence, right), prices(400, pastes=0.1, more=0.05))
    passes = None if passes is None else passes * BESIDE_PIXELS
    plan = CascadePlan(SETTINGS.model_copy(update={"drop_below": 0.0}), "m1", budget, look_budget, passes)
    return fit_cascade(known, plan).look_budget


@pytest.mark.parametrize(
    ("plan", "left"),
    [
        ({"passes": None}, None),
        ({"passes": None, "look_budget": 0.5}, 0.5),
        ({"passes": 2.0}, 2.0 - 10 * (0.1 + 0.5 * 0.05)),
        ({"passes": 2.0, "torn": 0.0}, 1.0),
        ({"passes": 2.0, "look_budget": 0.5}, 0.5),
        ({"passes": 2.0, "budget": 0.25}, 1.75),
        ({"passes": 1.0}, 0.0),
    ],
    ids=["no limit", "their own limit", "what pastes leave", "no third paste", "both limits", "few pastes", "nothing"],
)
def test_looks_get_what_pastes_leave(plan, left):
    """Ten boxes per image, all of them due."""
    assert looks_for(**plan) == (None if left is None else pytest.approx(left))


def test_dropped_boxes_cost_no_pastes():
    evidence, right = drawn(count=400)
    known = KnownBoxes(evidence, right, objects(evidence, right), prices(400, pastes=0.1))
    plan = CascadePlan(SETTINGS.model_copy(update={"drop_below": 0.99}), "m1", passes=2.0)
    assert fit_cascade(known, plan).look_budget > 1.5


# The published rule


def test_consistency_alone_decides_where_the_rule_says_so():
    """The surest by all other evidence is worth no more than the others."""
    evidence, right = drawn()
    made = fitted(evidence, right, settings=SETTINGS.model_copy(update={"rule": "consistency"}))
    pool, looked = pool_would_get(made, evidence)
    pasted = pool["checks"].to_numpy() > 0
    assert looked == [0, 0]
    assert pasted.mean() > 0.9
    consistency, p_correct = pool["consistency"].to_numpy(zero_copy_only=False)[pasted], made.predict(pool)[pasted]
    order = np.argsort(consistency)
    assert (np.diff(p_correct[order]) >= 0).all()
    assert np.corrcoef(consistency, p_correct)[0, 1] > 0.9
    np.testing.assert_allclose(made.replay(evidence), made.predict(pool))


# Who is worth it


def looked_at(made, evidence):
    """Proposals that lie near enough to the threshold for an augmented view."""
    low, high = made.advancing[LOOK].get("bolt", (2.0, -2.0))
    p_correct = made.predict_on(stage_of(0), evidence)
    return (low <= p_correct) & (p_correct <= high)


def test_those_advance_that_lie_next_to_the_threshold():
    evidence, right = drawn()
    made = fitted(evidence, right, 0.02)
    low, high = made.advancing[LOOK]["bolt"]
    images = set(evidence["image_id"].filter(pa.array(looked_at(made, evidence))).to_pylist())
    assert 0.4 < low < high < 0.8, "looser than the promise, which the surer ones keep"
    assert 0 < len(images) * 0.05 <= 0.02 * 150 * SPENT


def test_an_augmented_view_is_paid_for_once_per_image():
    evidence, right = drawn()
    one_image = with_columns(evidence, image_id=["i0"] * len(right))
    least = 0.05 / SPENT
    assert looked_at(fitted(one_image, right, least + 1e-9), one_image).sum() > 50
    assert looked_at(fitted(one_image, right, least - 1e-9), one_image).sum() == 0


@pytest.mark.parametrize("budget", [0.0, 0.02, 0.1, 0.5])
def test_looks_stay_within_their_budget(budget):
    evidence, right = drawn()
    pool, _ = pool_would_get(fitted(evidence, right, budget), evidence)
    views = len(set(pool["image_id"].filter(pool["tta_score"].is_valid()).to_pylist()))
    spent = views * 0.05 + (len(right) - pool["closeup_score"].null_count) * 0.01
    assert spent <= budget * 150 + 1e-9
    assert (spent > 0) == (budget > 0)


def test_more_is_checked_where_more_may_be_spent():
    evidence, right = drawn()
    widths = []
    for budget in (0.02, 0.1, 0.5, None):
        low, high = fitted(evidence, right, budget).advancing[LOOK]["bolt"]
        widths.append(high - low)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_without_a_limit_proposals_that_no_evidence_can_carry_stay_where_they_are():
    evidence, right = drawn()
    same = np.full(len(right), 0.5)
    idle = with_columns(evidence, tta_score=same, closeup_score=same, consistency=same)
    made = fitted(idle, right, settings=SETTINGS.model_copy(update={"target_precision": 0.4}))
    low, high = made.advancing[0]["bolt"]
    assert high - low < 0.1, "the next stage moves nobody"


def test_a_class_that_cannot_be_certified_is_not_looked_at_again():
    evidence, right = drawn(labels=("bolt", "gear"), weak=("gear",))
    settings = SETTINGS.model_copy(update={"min_class_boxes": 30})
    made = fitted(evidence, right, settings=settings)
    assert [set(ranges) for ranges in made.advancing] == [{"bolt"}] * 2


def test_where_no_class_can_be_certified_nothing_is_looked_at_again():
    evidence, right = drawn(weak=("bolt",))
    assert fitted(evidence, right).advancing == ({}, {})


# Out of fold


def test_evidence_that_is_paid_for_sharpens_the_judgement():
    evidence, right = drawn()
    gated, full = left_out(evidence, right, 0.3)
    cheap, _ = left_out(evidence, right, 0.0)
    brier = [np.mean((p_correct - right) ** 2) for p_correct in (full, gated, cheap)]
    assert brier[0] < brier[1] < brier[2]


def test_no_box_is_judged_by_a_cascade_that_saw_its_image():
    """Features that only distinguish images: learnt by heart they look good, out of fold they do not."""
    random = np.random.default_rng(1)
    right = np.repeat(random.permutation(np.arange(20) % 2 == 0), 20)
    names = ("score", "entropy", "closeup_score", "consistency", "spread", "votes")
    evidence = with_columns(
        evidence_of(*[{}] * 400),
        image_id=[f"i{number // 20}" for number in range(400)],
        **{name: np.repeat(random.random(20), 20) for name in names},
    )
    by_heart = fitted(evidence, right).predict_on(-1, evidence)
    gated, full = left_out(evidence, right)
    assert by_heart[right].mean() - by_heart[~right].mean() > 0.1
    for p_correct in (gated, full):
        assert p_correct[right].mean() - p_correct[~right].mean() < 0.05


def test_what_objects_look_like_sharpens_the_judgement():
    """Boxes that their score takes for bolts; half of them are gears, which the embedding shows."""
    evidence, _ = drawn()
    right = np.random.default_rng(3).random(len(evidence)) < 0.5
    towards = np.random.default_rng(4).normal(np.where(right, 1.0, -1.0), 1.0)
    seen = with_columns(evidence, embedding=[[value, 0.5] for value in towards.tolist()])
    shown = np.where(right, "bolt", "gear")
    (with_it, _), (without, _) = left_out(seen, right, 0.0, shown), left_out(evidence, right, 0.0, shown)
    assert roc_auc_score(right, with_it) > 0.85
    assert roc_auc_score(right, without) < 0.6


@pytest.mark.parametrize("count", [0, 1, 10])
def test_few_boxes_and_a_single_image(count):
    evidence, right = drawn(count)
    for p_correct in left_out(evidence, right):
        assert p_correct.shape == (count,)
        assert ((p_correct > 0) & (p_correct < 1)).all()


# Keeping


def test_it_is_read_back_as_it_was(tmp_path):
    evidence, right = drawn(300)
    made = fitted(evidence, right, 0.5)
    again = written_and_read(made, tmp_path)
    assert again == made
    np.testing.assert_array_equal(again.replay(evidence), made.replay(evidence))


def test_another_models_proposals_are_refused():
    with pytest.raises(ArtefactError, match="Expected proposals of model other"):
        cascade(model_id="other").predict(evidence_of({}, {"score": 0.1, **UNMEASURED}))


def test_fitting_repeats_itself():
    evidence, right = drawn(300)
    assert fitted(evidence, right, 0.2) == fitted(evidence, right, 0.2)


# What is seen of a box


def test_the_visible_share_counts_where_the_detector_tells_it():
    evidence, right = drawn(600)
    assert all(VISIBLE_SHARE not in stage.features for stage in fitted(evidence, right).stages)
    share = np.where(right, 0.9, 0.3) + np.random.default_rng(0).normal(0, 0.1, len(right))
    told = evidence.append_column(VISIBLE_SHARE, pa.array(share.astype(np.float32)))
    made = fitted(told, right)
    assert all(stage.features[-1] == VISIBLE_SHARE for stage in made.stages)
    with_share, without = made.predict_on(0, told), fitted(evidence, right).predict_on(0, evidence)
    assert roc_auc_score(right, with_share) > roc_auc_score(right, without) + 0.1
    by_rule = fitted(told, right, settings=SETTINGS.model_copy(update={"rule": "consistency"}))
    assert all(VISIBLE_SHARE not in stage.features for stage in by_rule.stages)
