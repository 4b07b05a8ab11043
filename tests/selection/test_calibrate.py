import json
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import logit

from pipeline.errors import ArtefactError
from pipeline.selection.calibrate import FEATURES, Calibrator, feature_matrix, fit_calibrator, out_of_fold
from tests.selection.evidence import INTERCEPT, ORDINARY, WEIGHTS, drawn_evidence, evidence_of, with_columns

KNOWN = tuple(WEIGHTS)
NOTHING = np.zeros(0, dtype=bool)


def fit(evidence, right, features=KNOWN, min_class_boxes=10**6):
    return fit_calibrator(
        evidence, np.asarray(right, dtype=bool), min_class_boxes=min_class_boxes, features=features, model_id="m1"
    )


def folded(evidence, right, features=KNOWN, folds=5):
    return out_of_fold(
        evidence, np.asarray(right, dtype=bool), folds=folds, min_class_boxes=10**6, features=features, model_id="m1"
    )


# Features


def test_features_of_no_boxes():
    assert feature_matrix(evidence_of()).shape == (0, len(FEATURES))


def test_features_written_out():
    row = {"x1": 0.0, "y1": 0.0, "x2": 40.0, "y2": 10.0, "score": 0.8, "consistency": 0.3}
    told = dict(zip(FEATURES, feature_matrix(evidence_of(row))[0], strict=True))
    assert told == pytest.approx(
        {
            "score_logit": np.log(4),
            "consistency": 0.3,
            **{
                name: ORDINARY[name]
                for name in ("hit_fraction", "mean_iou", "spread", "agreement", "entropy", "runner_up")
            },
            "log_side": np.log(20),
            "log_aspect": np.log(4),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize(("score", "expected"), [(0.0, -np.log(9999)), (1.0, np.log(9999))])
def test_scores_at_the_ends_stay_finite(score, expected):
    assert feature_matrix(evidence_of({"score": score}), ["score_logit"])[0, 0] == pytest.approx(expected, rel=1e-4)


def test_what_was_not_measured_counts_as_zero():
    unmeasured = dict.fromkeys(("consistency", "hit_fraction", "mean_iou", "spread", "agreement"))
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
    np.testing.assert_allclose(folded(evidence, right), share)


def test_predictions_for_no_boxes():
    evidence, right, _ = drawn_evidence(50)
    assert fit(evidence, right).predict(evidence_of()).shape == (0,)
    assert folded(evidence_of(), NOTHING).shape == (0,)


def test_a_known_model_is_recovered():
    evidence, right, p_true = drawn_evidence(20_000)
    calibrator = fit(evidence, right)
    weights = np.array(calibrator.weights) / calibrator.scale
    intercept = calibrator.intercept - (weights * calibrator.center).sum()
    np.testing.assert_allclose(weights, list(WEIGHTS.values()), atol=0.25)
    assert intercept == pytest.approx(INTERCEPT, abs=0.25)
    np.testing.assert_allclose(calibrator.predict(evidence), p_true, atol=0.03)


@pytest.mark.parametrize("features", [KNOWN, FEATURES])
def test_probabilities_out_of_fold_are_calibrated(features):
    evidence, right, _ = drawn_evidence(6_000, seed=2)
    p_correct = folded(evidence, right, features)
    edges = np.quantile(p_correct, np.linspace(0, 1, 11)[1:-1])
    part = np.digitize(p_correct, edges)
    gaps = [abs(p_correct[part == one].mean() - right[part == one].mean()) for one in range(10)]
    assert np.mean(gaps) < 0.03


def test_other_features_than_the_true_ones_do_no_harm():
    evidence, right, p_true = drawn_evidence(5_000, seed=3)
    assert np.abs(fit(evidence, right, FEATURES).predict(evidence) - p_true).mean() < 0.05


def test_a_feature_that_never_varies_is_harmless():
    evidence, right, _ = drawn_evidence(500)
    calibrator = fit(evidence, right, (*KNOWN, "mean_iou"))
    assert np.isfinite(calibrator.predict(evidence)).all()
    assert calibrator.scale[-1] == 1.0


def test_surer_evidence_gives_a_higher_probability():
    evidence, right, _ = drawn_evidence(2_000)
    p_correct = fit(evidence, right).predict(evidence_of(*({"score": score} for score in np.linspace(0, 1, 9))))
    assert all(low < high for low, high in pairwise(p_correct))


def test_far_outside_what_it_was_fitted_on_it_stays_a_probability():
    evidence, right, _ = drawn_evidence(500)
    calibrator = fit(evidence, right)
    extreme = Calibrator(**{**calibrator.to_json(), "weights": tuple(1e4 * w for w in calibrator.weights)})
    p_correct = extreme.predict(evidence_of({"score": 0.0}, {"score": 1.0}))
    assert p_correct.tolist() == pytest.approx([0.0, 1.0])


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


# Out of fold


def test_boxes_of_one_picture_never_teach_each_other():
    """Features that only tell pictures apart: learnt by heart they look good, out of fold they do not."""
    random = np.random.default_rng(1)
    right = np.repeat(random.permutation(np.arange(20) % 2 == 0), 20)
    evidence, _, _ = drawn_evidence(400, per_image=20)
    features = ("score", "consistency", "agreement", "spread", "entropy", "runner_up")
    evidence = with_columns(evidence, **{name: np.repeat(random.random(20), 20) for name in features})

    def separation(p_correct):
        return p_correct[right].mean() - p_correct[~right].mean()

    assert separation(fit(evidence, right, features).predict(evidence)) > 0.2
    assert separation(folded(evidence, right, features)) < 0.05


def test_each_box_is_predicted_by_the_model_of_the_other_pictures():
    evidence, right, _ = drawn_evidence(40, per_image=10)
    p_correct = folded(evidence, right, folds=4)
    for start in range(0, 40, 10):
        own = np.arange(start, start + 10)
        others = np.setdiff1d(np.arange(40), own)
        expected = fit(evidence.take(others), right[others]).predict(evidence.take(own))
        np.testing.assert_allclose(p_correct[own], expected)


def test_fewer_pictures_than_folds():
    evidence, right, _ = drawn_evidence(30, per_image=10)
    assert np.isfinite(folded(evidence, right, folds=5)).all()


def test_a_single_picture_serves_itself():
    evidence, right, _ = drawn_evidence(30, per_image=30)
    np.testing.assert_array_equal(folded(evidence, right), fit(evidence, right).predict(evidence))


# Keeping


def test_json_and_back():
    evidence, right, _ = drawn_evidence(200, labels=("bolt", "gear"))
    calibrator = fit(evidence, right, FEATURES, min_class_boxes=30)
    again = Calibrator.from_json(json.loads(json.dumps(calibrator.to_json(), allow_nan=False)))
    assert again == calibrator
    np.testing.assert_array_equal(again.predict(evidence), calibrator.predict(evidence))


def test_another_models_proposals_are_refused():
    evidence, right, _ = drawn_evidence(50)
    calibrator = fit(evidence, right)
    with pytest.raises(ArtefactError, match=r"Expected proposals of model m1.*got those of \['m2'\]"):
        calibrator.predict(evidence_of({}, {"model_id": "m2"}))


def test_fitting_repeats_itself():
    evidence, right, _ = drawn_evidence(300)
    assert fit(evidence, right, FEATURES) == fit(evidence, right, FEATURES)
