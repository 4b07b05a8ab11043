from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from pipeline.seeds import numpy_generator
from pipeline.selection.quality import RESAMPLES, auroc, auroc_gain, measure_score


def drawn(count=300, seed=0, per_image=10):
    """Scores that are the probability of being right."""
    random = np.random.default_rng(seed)
    score = random.random(count)
    images = np.array([f"i{index // per_image}" for index in range(count)])
    return score, random.random(count) < score, images


def measured(score, right, images=None, true_boxes=None, seed=0):
    score, right = np.array(score, dtype=np.float64), np.array(right, dtype=bool)
    images = np.array([f"i{index}" for index in range(len(score))]) if images is None else images
    return measure_score(
        score, right, images, true_boxes=int(right.sum()) if true_boxes is None else true_boxes, seed=seed
    )


def test_no_boxes_are_an_error():
    with pytest.raises(ValueError, match="Expected boxes to measure a score on, got none"):
        measured([], [])


@pytest.mark.parametrize("seed", range(3))
def test_measures_equal_independent_ones(seed):
    score, right, images = drawn(seed=seed)
    quality = measured(score, right, images)
    assert quality.auroc == pytest.approx(roc_auc_score(right, score))
    ranks = rankdata(score)
    count = right.sum()
    by_ranks = (ranks[right].sum() - count * (count + 1) / 2) / (count * (len(right) - count))
    assert quality.auroc == pytest.approx(by_ranks)
    assert quality.ap == pytest.approx(average_precision_score(right, score))
    assert quality.brier == pytest.approx(brier_score_loss(right, score))


@pytest.mark.parametrize(
    ("score", "right", "auroc", "ap"),
    [
        ([0.9, 0.8, 0.3], [1, 1, 0], 1.0, 1.0),
        ([0.9, 0.8, 0.3], [0, 1, 1], 0.0, (1 / 2 + 2 / 3) / 2),
        ([0.9, 0.8, 0.7, 0.3], [1, 0, 1, 0], 0.75, (1 + 2 / 3) / 2),
        ([0.5, 0.5], [1, 0], 0.5, 0.5),
        ([0.5, 0.6], [1, 1], None, 1.0),
        ([0.5, 0.6], [0, 0], None, None),
        ([0.5], [1], None, 1.0),
    ],
    ids=["perfect", "worst", "mixed", "tied", "all right", "all wrong", "one box"],
)
def test_ranking_written_out(score, right, auroc, ap):
    quality = measured(score, right)
    assert quality.auroc == (auroc if auroc is None else pytest.approx(auroc))
    assert quality.ap == (ap if ap is None else pytest.approx(ap))
    assert (quality.auroc_interval is None) == (auroc is None)


def test_calibration_error_written_out():
    """Ten bins of two: the bins of 0.8 hold one right of two, the bins of 0.2 none."""
    score = [0.2] * 10 + [0.8] * 10
    right = [0] * 10 + [0, 1] * 5
    quality = measured(score, right)
    assert quality.ece == pytest.approx((0.2 + 0.3) / 2)
    assert quality.brier == pytest.approx((0.04 + (0.64 + 0.04) / 2) / 2)
    assert quality.reliability == (pytest.approx((0.2, 0.0, 2)),) * 5 + (pytest.approx((0.8, 0.5, 2)),) * 5


@pytest.mark.parametrize("count", [1, 3, 10, 11, 300])
def test_every_box_is_in_one_bin(count):
    score, right, images = drawn(count)
    quality = measured(score, right, images)
    assert len(quality.reliability) == min(count, 10)
    assert sum(boxes for _, _, boxes in quality.reliability) == count
    sizes = [boxes for _, _, boxes in quality.reliability]
    assert max(sizes) - min(sizes) <= 1
    means = [mean for mean, _, _ in quality.reliability]
    assert means == sorted(means)


def test_calibrated_scores_have_a_small_error_and_others_a_large_one():
    score, right, images = drawn(5000)
    assert measured(score, right, images).ece < 0.02
    assert measured(score**3, right, images).ece > 0.15


@pytest.mark.parametrize(
    ("right", "true_boxes", "expected"),
    [
        ([0, 0, 0], 5, 0.0),
        ([1, 1, 1], 3, 1.0),
        ([1, 1, 1], 6, 0.5),
        ([0, 1, 1], 2, 0.0),
        ([1, 0, 1, 1], 3, 1 / 3),
        ([1] * 19 + [0] + [1], 20, 1.0),
        ([1] * 17 + [0] + [1], 18, 17 / 18),
        ([0, 0, 0], 0, 0.0),
    ],
    ids=[
        "none right",
        "all right",
        "half was not even proposed",
        "the surest is wrong",
        "only the first",
        "one wrong in twenty",
        "one wrong in nineteen",
        "no true boxes",
    ],
)
def test_recall_at_a_precision_of_95_percent(right, true_boxes, expected):
    """Boxes from surest to least sure."""
    assert measured(np.linspace(0.9, 0.1, len(right)), right, true_boxes=true_boxes).recall_at_p95 == pytest.approx(
        expected
    )


def test_recall_equals_a_naive_search_over_thresholds():
    score, right, images = drawn(120, seed=4)
    score = score.round(1)
    score[right] = np.minimum(score[right] + 0.3, 1.0)
    kept = [score >= threshold for threshold in np.unique(score)]
    best = max((right[rows].sum() for rows in kept if right[rows].mean() >= 0.95), default=0)
    assert 0 < best < right.sum()
    assert measured(score, right, images, true_boxes=90).recall_at_p95 == pytest.approx(best / 90)


# The interval


def test_the_interval_is_repeatable_and_holds_the_value():
    score, right, images = drawn()
    quality, again, other = (measured(score, right, images, seed=seed) for seed in (0, 0, 1))
    low, high = quality.auroc_interval
    assert low < quality.auroc < high
    assert quality == again
    assert quality.auroc_interval != other.auroc_interval


def test_more_images_narrow_the_interval():
    widths = []
    for count in (100, 1600):
        score, right, images = drawn(count)
        low, high = measured(score, right, images).auroc_interval
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]


def test_boxes_of_one_image_are_resampled_together():
    """Ten copies of each box tell no more than one."""
    score, right, _ = drawn(100)
    names = np.array([f"i{index}" for index in range(100)])
    single = measured(score, right, names)
    copies = measured(np.repeat(score, 10), np.repeat(right, 10), np.repeat(names, 10))
    assert copies.auroc == pytest.approx(single.auroc)
    assert copies.auroc_interval == pytest.approx(single.auroc_interval)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """95 % promised; 20 draws of scores whose true AUROC is 5 / 6."""
    intervals = [measured(*drawn(200, seed=100 + seed)).auroc_interval for seed in range(20)]
    assert sum(low <= 5 / 6 <= high for low, high in intervals) >= 16


@pytest.mark.parametrize(("right_in", "wrong_in"), list(product(("i0",), ("i0", "i1"))))
def test_one_or_two_images_have_an_interval_too(right_in, wrong_in):
    quality = measured([0.9, 0.1], [1, 0], np.array([right_in, wrong_in]))
    assert quality.auroc_interval == (1.0, 1.0)


@pytest.mark.parametrize(
    ("right", "score", "expected"),
    [
        ([], [], None),
        ([True, True], [0.1, 0.2], None),
        ([False, False], [0.1, 0.2], None),
        ([False, True], [0.1, 0.2], 1.0),
        ([True, False], [0.1, 0.2], 0.0),
        ([True, False], [0.2, 0.2], 0.5),
        ([True, False, False, True], [0.9, 0.8, 0.1, 0.3], 0.75),
    ],
)
def test_auroc_is_the_chance_that_a_right_box_scores_above_a_wrong_one(right, score, expected):
    assert auroc(np.array(score), np.array(right, dtype=bool)) == expected


def test_auroc_agrees_with_a_count_of_all_pairs():
    random = np.random.default_rng(0)
    right, score = random.random(60) < 0.4, random.integers(0, 9, 60).astype(float)
    pairs = score[right][:, None] - score[~right]
    assert auroc(score, right) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert auroc(score, right) == pytest.approx(roc_auc_score(right, score))


def test_the_bootstrap_interval_of_a_gain_is_that_of_scikit_learn():
    score, right, images = drawn()
    baseline = np.round(score + np.random.default_rng(5).normal(0, 0.3, len(score)), 1)  # with ties
    random, (_, group) = numpy_generator(4, "bootstrap"), np.unique(images, return_inverse=True)
    gains = []
    for _ in range(RESAMPLES):
        weight = np.bincount(random.integers(0, 30, 30), minlength=30)[group]
        ours, theirs = (roc_auc_score(right, values, sample_weight=weight) for values in (score, baseline))
        gains.append(ours - theirs)
    assert auroc_gain(score, baseline, right, images, seed=4) == pytest.approx(
        tuple(np.quantile(gains, [0.025, 0.975]))
    )
