import json
import math

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binom, binomtest

from pipeline.selection.certify import certify_class, least_boxes, lower_bound


def certify(p_correct, right, target=0.95, confidence=0.95):
    return certify_class(
        "gear",
        np.array(p_correct, dtype=np.float64),
        np.array(right, dtype=bool),
        target=target,
        confidence=confidence,
    )


def falling(count):
    """Scores from surest to least sure, all different."""
    return np.linspace(0.99, 0.5, count)


# Bounds


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("right", "boxes"), [(0, 1), (1, 1), (0, 40), (20, 40), (58, 59), (59, 59), (990, 1000)])
def test_the_bound_is_clopper_and_pearsons(right, boxes, confidence):
    exact = binomtest(right, boxes, alternative="greater").proportion_ci(confidence, method="exact").low
    assert lower_bound(right, boxes, confidence) == pytest.approx(exact)


@pytest.mark.parametrize(
    ("target", "confidence", "expected"), [(0.95, 0.95, 59), (0.9, 0.95, 29), (0.99, 0.95, 299), (0.5, 0.75, 2)]
)
def test_least_boxes(target, confidence, expected):
    assert least_boxes(target, confidence) == expected
    assert lower_bound(expected, expected, confidence) >= target
    assert lower_bound(expected - 1, expected - 1, confidence) < target


# What is certified


@pytest.mark.parametrize(
    ("count", "needed"),
    [
        (0, "at least 59 held-back boxes of this class, all right; there are 0"),
        (1, "at least 59 held-back boxes of this class, all right; there are 1"),
        (58, "at least 59 held-back boxes of this class, all right; there are 58"),
    ],
)
def test_too_few_boxes_certify_nothing_and_say_what_is_missing(count, needed):
    certificate = certify(falling(count), [True] * count)
    assert not certificate.certified
    assert certificate.threshold is certificate.lower_bound is None
    assert (certificate.boxes, certificate.right) == (count, count)
    assert certificate.needed == needed


def test_just_enough_boxes_all_right():
    certificate = certify(falling(59), [True] * 59)
    assert certificate.certified
    assert certificate.threshold == 0.5
    assert (certificate.boxes, certificate.right) == (59, 59)
    assert 0.95 <= certificate.lower_bound == lower_bound(59, 59, 0.95)
    assert certificate.needed == ""


def test_all_right_certifies_nearly_all():
    certificate = certify(falling(1000), [True] * 1000)
    assert certificate.boxes > 1000 / 1.1
    assert certificate.threshold == falling(1000)[certificate.boxes - 1]


@pytest.mark.parametrize("count", [59, 1000])
def test_all_wrong_certifies_nothing(count):
    certificate = certify(falling(count), [False] * count)
    assert not certificate.certified
    assert certificate.right == 0
    assert certificate.needed == "a precision over 0.95 among the surest 59 held-back boxes; 0 of them are right"


@pytest.mark.parametrize("wrong_at", [0, 30, 58])
def test_one_wrong_among_the_surest_ends_the_search(wrong_at):
    right = np.ones(200, dtype=bool)
    right[wrong_at] = False
    certificate = certify(falling(200), right)
    assert not certificate.certified
    assert certificate.needed == "a precision over 0.95 among the surest 59 held-back boxes; 58 of them are right"


def test_the_threshold_is_the_loosest_before_the_first_failure():
    """Right down to box 300, wrong from there on: with 95 % confidence some 5 % of wrong ones go along."""
    right = np.arange(1000) < 300
    certificate = certify(falling(1000), right)
    assert certificate.certified
    assert 300 / 1.1 < certificate.boxes < 300 / 0.95
    assert certificate.lower_bound == lower_bound(certificate.right, certificate.boxes, 0.95) >= 0.95
    looser = math.ceil(certificate.boxes * 1.1)
    assert lower_bound(int(right[:looser].sum()), looser, 0.95) < 0.95


def test_the_order_of_the_boxes_does_not_matter():
    random = np.random.default_rng(0)
    p_correct = random.random(500)
    right = random.random(500) < np.sqrt(p_correct)
    order = random.permutation(500)
    assert certify(p_correct, right, target=0.7) == certify(p_correct[order], right[order], target=0.7)
    assert certify(p_correct, right, target=0.7).certified


def test_a_lower_target_keeps_more():
    random = np.random.default_rng(1)
    p_correct = random.random(2000)
    right = random.random(2000) < p_correct**0.1
    certificates = [certify(p_correct, right, target=target) for target in (0.95, 0.92, 0.8)]
    assert all(one.certified for one in certificates)
    assert certificates[0].boxes < certificates[1].boxes < certificates[2].boxes


# Ties


def test_boxes_of_one_score_are_kept_or_left_together():
    certificate = certify([0.9] * 100 + [0.4] * 100, [True] * 100 + [False] * 100)
    assert (certificate.threshold, certificate.boxes, certificate.right) == (0.9, 100, 100)


def test_all_tied_and_good():
    certificate = certify([0.7] * 120, [True] * 119 + [False])
    assert (certificate.threshold, certificate.boxes, certificate.right) == (0.7, 120, 119)


def test_all_tied_and_bad_says_how_many_were_looked_at():
    certificate = certify([0.7] * 100, [True] * 90 + [False] * 10)
    assert certificate.needed == "a precision over 0.95 among the surest 100 held-back boxes; 90 of them are right"


def test_certificates_are_plain_values():
    for certificate in (certify(falling(60), [True] * 60), certify([], [])):
        assert json.loads(json.dumps(certificate.to_json())) == certificate.to_json()
        assert type(certificate)(**certificate.to_json()) == certificate


# The promise, by simulation


def calibrated(random, count):
    chance = random.beta(4, 1, count)
    return chance, chance


def over_confident(random, count):
    chance = random.beta(4, 1.5, count)
    return expit(2 * logit(chance) + 1.5), chance


def noisy(random, count):
    chance = random.beta(6, 0.6, count).clip(1e-6, 1 - 1e-6)
    return expit(logit(chance) + random.normal(0, 1.5, count)), chance


def rounded(random, count):
    chance = random.beta(4, 1, count)
    return chance.round(1), chance


def hopeless(random, count):
    """Scores that say nothing, boxes just under the target: every certificate is a false promise."""
    return random.random(count), np.full(count, 0.945)


def steep(random, count):
    """Just under the target at the top, hopeless below."""
    score = random.random(count)
    return score, np.where(score > 0.5, 0.945, 0.5)


def excellent(random, count):
    chance = random.beta(60, 0.6, count)
    return chance, chance


DRAWS, MOST_BROKEN = 500, int(binom.ppf(0.999, 500, 0.05))
"""A promise that is broken in exactly 5 % of the draws breaks more often than this once in a thousand tests."""


@pytest.mark.parametrize("count", [80, 400, 2000])
@pytest.mark.parametrize(
    "regime",
    [calibrated, over_confident, noisy, rounded, hopeless, steep, excellent],
    ids=lambda regime: regime.__name__,
)
def test_the_promise_is_broken_in_at_most_5_percent_of_the_draws(regime, count):
    random = np.random.default_rng(7)
    population_score, population_chance = regime(random, 200_000)
    order = np.argsort(-population_score)
    ranked, sums = population_score[order], np.cumsum(population_chance[order])
    broken = certified = 0
    for _ in range(DRAWS):
        score, chance = regime(random, count)
        certificate = certify(score, random.random(count) < chance)
        if certificate.certified:
            certified += 1
            kept = max(1, int(np.searchsorted(-ranked, -certificate.threshold, side="right")))
            broken += sums[kept - 1] / kept < 0.95
    assert broken <= MOST_BROKEN
    assert regime is not excellent or certified > 0.6 * DRAWS, "a promise that is never made is no use"
