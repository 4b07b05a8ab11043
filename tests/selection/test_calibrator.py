from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, logit
from sklearn.metrics import log_loss

from pipeline.errors import ArtefactError
from pipeline.selection.calibrator import (
    CHEAP,
    CLOSER,
    PASTED,
    STRENGTHS,
    _bend,
    feature_matrix,
    fit_calibrator,
    folds_of,
)
from tests.selection.evidence import ORDINARY, WEIGHTS, drawn_evidence, evidence_of, with_columns
from tests.selection.keeping import written_and_read

KNOWN = tuple(WEIGHTS)
FEATURES = (*CHEAP, *CLOSER, *PASTED)


def fit(evidence, right, features=KNOWN, min_class_boxes=10**6):
    return fit_calibrator(
        evidence, np.asarray(right, dtype=bool), min_class_boxes=min_class_boxes, features=features, model_id="m1"
    )


# Features


def test_features_of_no_boxes():
    assert feature_matrix(evidence_of(), FEATURES).shape == (0, len(FEATURES))


def test_features_written_out():
    row = {"x1": 0.0, "y1": 0.0, "x2": 40.0, "y2": 10.0, "score": 0.8, "consistency": 0.3}
    features = dict(zip(FEATURES, feature_matrix(evidence_of(row), FEATURES)[0], strict=True))
    derived = {"score_logit": np.log(4), "consistency": 0.3, "log_side": np.log(20), "log_aspect": np.log(4)}
    assert features == pytest.approx({name: derived.get(name, ORDINARY.get(name)) for name in FEATURES}, rel=1e-5)


@pytest.mark.parametrize(("score", "expected"), [(0.0, -np.log(9999)), (1.0, np.log(9999))])
def test_scores_at_the_ends_stay_finite(score, expected):
    assert feature_matrix(evidence_of({"score": score}), ["score_logit"])[0, 0] == pytest.approx(expected, rel=1e-4)


def test_what_was_not_measured_counts_as_zero():
    unmeasured = dict.fromkeys(("consistency", "hit_fraction", "mean_iou", "spread", "closeup_score"))
    assert feature_matrix(evidence_of(unmeasured, {}), tuple(unmeasured))[0].tolist() == [0.0] * 5


# Fitting


@pytest.mark.parametrize(
    ("right", "share"),
    [([], 1 / 2), ([True], 2 / 3), ([True] * 8, 9 / 10), ([False] * 8, 1 / 10), ([True] * 7 + [False], 8 / 10)],
    ids=["no boxes", "one box", "all right", "all wrong", "one wrong"],
)
def test_with_a_single_outcome_every_box_gets_the_share(right, share):
    evidence, _, _ = drawn_evidence(len(right))
    calibrator = fit(evidence, right, FEATURES)
    assert calibrator.boxes == len(right)
    other, _, _ = drawn_evidence(5, seed=1)
    np.testing.assert_allclose(calibrator.predict(other), share)


def test_predictions_for_no_boxes():
    evidence, right, _ = drawn_evidence(50)
    assert fit(evidence, right).predict(evidence_of()).shape == (0,)


def test_a_known_model_is_recovered():
    evidence, right, p_true = drawn_evidence(20_000)
    calibrator = fit(evidence, right)
    assert [len(places) for places in calibrator.knots] == [3, 3, 3]
    np.testing.assert_allclose(calibrator.predict(evidence), p_true, atol=0.05)
    assert np.abs(calibrator.predict(evidence) - p_true).mean() < 0.01


def test_a_bend_is_learnt():
    """Right between two values of a feature and wrong outside: no straight line follows that."""
    random = np.random.default_rng(4)
    evidence, _, _ = drawn_evidence(4_000)
    spread = random.random(4_000)
    p_true = np.where(np.abs(spread - 0.5) < 0.25, 0.9, 0.1)
    right = random.random(4_000) < p_true
    p_correct = fit(with_columns(evidence, spread=spread), right, ("spread", "entropy")).predict(
        evidence_of(*({"spread": value} for value in (0.05, 0.5, 0.95)))
    )
    assert p_correct[1] > 0.7
    assert max(p_correct[0], p_correct[2]) < 0.3


def test_a_single_feature_ranks_boxes_as_it_is():
    """Whatever held-back boxes say of its quartiles."""
    random = np.random.default_rng(4)
    evidence, _, _ = drawn_evidence(4_000)
    spread = random.random(4_000)
    right = random.random(4_000) < np.where(spread < 0.6, spread, 0.6)
    p_correct = fit(with_columns(evidence, spread=spread), right, ("spread",)).predict(
        evidence_of(*({"spread": value} for value in np.linspace(0, 1, 11)))
    )
    assert (np.diff(p_correct) > 0).all()


def test_probabilities_on_other_images_are_calibrated():
    (evidence, right, _), (other, other_right, _) = drawn_evidence(3_000, seed=2), drawn_evidence(3_000, seed=5)
    p_correct = fit(evidence, right, FEATURES).predict(other)
    edges = np.quantile(p_correct, np.linspace(0, 1, 11)[1:-1])
    part = np.digitize(p_correct, edges)
    gaps = [abs(p_correct[part == number].mean() - other_right[part == number].mean()) for number in range(10)]
    assert np.mean(gaps) < 0.04


def test_few_boxes_are_penalised_more_than_many(monkeypatch):
    """Cross-validation over images picks the strength; noise features on few boxes call for the strongest."""
    few, few_right, _ = drawn_evidence(40, seed=7)
    other, other_right, _ = drawn_evidence(4_000, seed=8)
    chosen = fit(few, few_right, FEATURES).predict(other)
    monkeypatch.setattr("pipeline.selection.calibrator.STRENGTHS", (1e4,))
    unpenalised = fit(few, few_right, FEATURES).predict(other)
    assert log_loss(other_right, chosen) < log_loss(other_right, unpenalised)


def test_a_single_image_gets_the_strongest_penalty(monkeypatch):
    evidence, right, _ = drawn_evidence(60, per_image=60)
    alone = fit(evidence, right)
    monkeypatch.setattr("pipeline.selection.calibrator.STRENGTHS", (min(STRENGTHS),))
    assert fit(evidence, right) == alone


def test_confidence_alone_where_few_boxes_cannot_say_what_the_rest_is_worth():
    """Only the score tells anything here, and sixty boxes cannot show that the rest does not."""
    random = np.random.default_rng(3)
    evidence, _, _ = drawn_evidence(60, seed=7)
    right = random.random(60) < expit(4 * np.asarray(evidence["score"]) - 2)
    calibrator = fit(evidence, right, FEATURES, min_class_boxes=30)
    assert [name for name, weight in zip(FEATURES, calibrator.weights, strict=True) if weight] == ["score_logit"]
    assert calibrator.offsets == {}
    low, high = calibrator.predict(evidence_of({"score": 0.1}, {"score": 0.9}))
    assert low < 0.4 < 0.6 < high, "and is no constant, as under a penalty that many features need"


def test_many_boxes_are_judged_by_all_that_is_known_of_them():
    evidence, right, _ = drawn_evidence(2_000)
    calibrator = fit(evidence, right, FEATURES)
    assert all(calibrator.knots[FEATURES.index(name)] for name in ("score_logit", "consistency", "closeup_score"))


def test_other_features_than_the_true_ones_do_no_harm():
    evidence, right, p_true = drawn_evidence(5_000, seed=3)
    assert np.abs(fit(evidence, right, FEATURES).predict(evidence) - p_true).mean() < 0.05


def test_a_feature_that_never_varies_is_harmless():
    evidence, right, _ = drawn_evidence(500)
    calibrator = fit(evidence, right, (*KNOWN, "mean_iou"))
    assert np.isfinite(calibrator.predict(evidence)).all()
    assert calibrator.knots[-1] == ()
    assert max(np.abs(calibrator.weights)) < 100, "rounding is no evidence"


def test_surer_evidence_gives_a_higher_probability():
    evidence, right, _ = drawn_evidence(2_000)
    p_correct = fit(evidence, right).predict(evidence_of(*({"score": score} for score in np.linspace(0, 1, 9))))
    assert all(low < high for low, high in pairwise(p_correct))


def test_far_outside_what_it_was_fitted_on_it_stays_a_probability():
    evidence, right, _ = drawn_evidence(500)
    calibrator = fit(evidence, right)
    extreme = replace(calibrator, weights=tuple(1e4 * weight for weight in calibrator.weights))
    worst = {"score": 0.0, "consistency": 0.0, "closeup_score": 1.0}
    best = {"score": 1.0, "consistency": 1.0, "closeup_score": 0.0}
    assert extreme.predict(evidence_of(worst, best)).tolist() == [0.0, 1.0], "it saturates, and is no NaN"


# Classes


def test_only_classes_with_enough_boxes_have_an_offset():
    labels = ["bolt"] * 30 + ["gear"] * 29 + ["nut"]
    evidence, right, _ = drawn_evidence(60)
    calibrator = fit(with_columns(evidence, label=labels), right, min_class_boxes=30)
    assert set(calibrator.offsets) == {"bolt"}


def test_an_easier_class_gets_a_higher_offset():
    evidence, right, p_true = drawn_evidence(10_000, labels=("bolt", "gear"), shift={"gear": 2.0})
    calibrator = fit(evidence, right, min_class_boxes=30)
    assert calibrator.offsets["gear"] - calibrator.offsets["bolt"] == pytest.approx(2.0, abs=0.2)
    assert np.abs(calibrator.predict(evidence) - p_true).mean() < 0.02
    assert np.abs(fit(evidence, right).predict(evidence) - p_true).mean() > 0.05


def test_an_unknown_class_is_pooled():
    evidence, right, _ = drawn_evidence(500, labels=("bolt", "gear"))
    calibrator = fit(evidence, right, min_class_boxes=30)
    shift = logit(calibrator.predict(evidence_of({"label": "bolt"}))) - logit(
        calibrator.predict(evidence_of({"label": "new"}))
    )
    assert shift[0] == pytest.approx(calibrator.offsets["bolt"])


# Folds


def test_boxes_of_one_image_stay_in_one_fold():
    evidence, _, _ = drawn_evidence(100, per_image=7)
    images = np.array(evidence["image_id"].to_pylist())
    folds = folds_of(evidence, 5)
    assert sorted(np.concatenate([left_out for _, left_out in folds]).tolist()) == list(range(100))
    for fitted, left_out in folds:
        assert set(images[fitted]).isdisjoint(images[left_out])


@pytest.mark.parametrize(("per_image", "folds"), [(10, 3), (15, 2), (30, 0)])
def test_fewer_images_than_folds(per_image, folds):
    assert len(folds_of(drawn_evidence(30, per_image=per_image)[0], 5)) == folds


def test_near_duplicates_are_in_one_fold():
    evidence, _, _ = drawn_evidence(60, per_image=3)
    images = evidence["image_id"].to_numpy(zero_copy_only=False)
    family = np.unique(images, return_inverse=True)[1] // 4
    folds = folds_of(evidence.append_column("group_id", pa.array([str(number) for number in family])), 5)
    assert len(folds) == 5
    for fitted, left_out in folds:
        assert not set(family[fitted]) & set(family[left_out])


# Keeping


def test_it_is_read_back_as_it_was(tmp_path):
    evidence, right, _ = drawn_evidence(200, labels=("bolt", "gear"))
    calibrator = fit(evidence, right, FEATURES, min_class_boxes=30)
    again = written_and_read(calibrator, tmp_path)
    assert again == calibrator
    np.testing.assert_array_equal(again.predict(evidence), calibrator.predict(evidence))


def test_many_boxes_taken_part_by_part_get_the_same_bits_as_at_once():
    evidence, right, _ = drawn_evidence(300)
    calibrator = fit(evidence, right, FEATURES)
    many = evidence.take(np.random.default_rng(0).integers(0, len(evidence), 150_001))
    bent = _bend(feature_matrix(many, FEATURES), calibrator.knots)
    offsets = np.array([calibrator.offsets.get(label, 0.0) for label in many["label"].to_pylist()])
    at_once = expit(bent @ np.array(calibrator.weights) + calibrator.intercept + offsets)
    assert calibrator.predict(many).tobytes() == at_once.tobytes()
    assert calibrator.predict(many.slice(0, 0)).shape == (0,)


def test_another_models_proposals_are_refused():
    evidence, right, _ = drawn_evidence(50)
    calibrator = fit(evidence, right)
    with pytest.raises(ArtefactError, match=r"Expected proposals of model m1.*got those of \['m2'\]"):
        calibrator.predict(evidence_of({}, {"model_id": "m2"}))


def test_fitting_repeats_itself():
    evidence, right, _ = drawn_evidence(300)
    assert fit(evidence, right, FEATURES) == fit(evidence, right, FEATURES)
