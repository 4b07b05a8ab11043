"""The whole promise, simulated: p(correct) fitted and judged out of fold, certified, and kept on a pool of its own."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom

from pipeline.selection.cascade_fitting import CascadePlan, KnownBoxes, fit_cascade, out_of_fold
from pipeline.selection.certificates import ScoredBoxes, certify_class
from pipeline.selection.class_affinity import NOTHING
from pipeline.selection.clusters import error_correlation
from pipeline.settings import SelectionSettings
from tests.selection.evidence import evidence_of, with_columns

TARGET, CONFIDENCE, BOXES_AN_IMAGE = 0.9, 0.95, 10
SETTINGS = SelectionSettings(target_precision=TARGET, confidence=CONFIDENCE, min_class_boxes=10**6)
WEIGHTS = {"score": 5.0, "tta_score": 3.0, "closeup_score": 2.0, "consistency": 2.0}
PLAN = CascadePlan(SETTINGS, "m1", look_budget=0.25)


def drawn(random, images, shared):
    """Boxes whose chance of being right depends on their evidence, their look, and a cause that an image shares."""
    count = images * BOXES_AN_IMAGE
    measured = dict(zip(WEIGHTS, random.random((len(WEIGHTS), count)), strict=True))
    look = random.normal(size=count)
    cause = shared * np.repeat(random.normal(size=images), BOXES_AN_IMAGE)
    p_true = expit(sum(weight * measured[name] for name, weight in WEIGHTS.items()) + 1.2 * look + cause - 5)
    table = with_columns(
        evidence_of(*[{}] * count),
        **measured,
        embedding=np.column_stack([look + random.normal(0, 0.5, count), random.normal(size=(count, 7))]).tolist(),
        image_id=[f"i{number // BOXES_AN_IMAGE:05d}" for number in range(count)],
    )
    return table, random.random(count) < p_true, p_true


def found_precision(seed, images, shared):
    """Of a pool that is judged by the cascade of all held-back images; None where nothing is certified."""
    random = np.random.default_rng(seed)
    held_back, right, _ = drawn(random, images, shared)
    prices = np.tile([1.44, 0.02, 0.1, 0.05], (len(right), 1))
    known = KnownBoxes(held_back, right, np.where(right, "bolt", NOTHING), prices)
    p_correct, _ = out_of_fold(known, PLAN)
    groups = np.repeat(np.arange(images), BOXES_AN_IMAGE)
    correlation = error_correlation(p_correct, right, groups)
    boxes = ScoredBoxes(p_correct, right, groups)
    certificate = certify_class("bolt", boxes, target=TARGET, confidence=CONFIDENCE, correlation=correlation)
    if not certificate.certified:
        return None
    pool, _, p_true = drawn(random, 1_500, shared)
    written = fit_cascade(known, PLAN).replay(pool) >= certificate.threshold
    return p_true[written].mean() if written.any() else 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("images", "shared"), [(40, 0.5), (100, 1.0)])
def test_promises_made_out_of_fold_are_kept_by_the_fit_on_all(images, shared):
    draws = 60
    precisions = [found_precision(seed, images, shared) for seed in range(draws)]
    certified = [precision for precision in precisions if precision is not None]
    assert len(certified) >= 5
    broken = sum(precision < TARGET for precision in certified)
    assert broken <= binom.ppf(0.99, draws, 1 - CONFIDENCE), f"{broken} of {draws}"
