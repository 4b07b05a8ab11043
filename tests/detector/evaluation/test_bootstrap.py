from __future__ import annotations

import numpy as np
import pytest

from pipeline.detector.evaluation.average_precision import coco_average_precision
from pipeline.detector.evaluation.bootstrap import draw_images, drawn_ap, drawn_map, interval
from pipeline.detector.evaluation.matching import match
from tests.detector.scenes import LABELS, labeled_detections, random_detections, random_images

HERE, THERE = (10, 10, 50, 50), (100, 100, 150, 150)


def ap_of(detections):
    """COCO's own numbers, by class; NaN where there is no true box."""
    _, per_class = coco_average_precision(detections)
    return np.array([np.nan if per_class[label].ap is None else per_class[label].ap for label in LABELS])


# Against COCO


@pytest.mark.parametrize("seed", range(12))
def test_every_image_once_is_cocos_average_precision(seed):
    detections = random_detections(seed)
    once = np.ones((1, len(detections.image_ids)), dtype=np.int64)
    np.testing.assert_allclose(drawn_ap(match(detections), once)[0], ap_of(detections), atol=1e-9)
    overall, _ = coco_average_precision(detections)
    assert drawn_map(drawn_ap(match(detections), once))[0] == pytest.approx(overall["map"], abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_a_draw_is_cocos_average_precision_of_the_drawn_images(seed):
    images = random_images(seed, 9)
    counts = draw_images(9, seed, draws=8)
    # Every score differs: of an image that is drawn twice, equal ones would lie side by side.
    images = [
        (true, regions, [(box, score + n * 1e-3 + m * 1e-5, label) for m, (box, score, label) in enumerate(answers)])
        for n, (true, regions, answers) in enumerate(images)
    ]
    found = drawn_ap(match(labeled_detections(*images)), counts)
    for levels, count in zip(found, counts, strict=True):
        again = [image for image, times in zip(images, count.tolist(), strict=True) for _ in range(times)]
        np.testing.assert_allclose(levels, ap_of(labeled_detections(*again)), atol=1e-9)


# Draws


@pytest.mark.parametrize("images", [0, 1, 7])
def test_draws_are_as_many_as_there_are_images(images):
    counts = draw_images(images, 3, draws=20)
    assert counts.shape == (20, images)
    assert (counts.sum(1) == images).all()


def test_the_same_seed_draws_the_same_images():
    np.testing.assert_array_equal(draw_images(30, 1), draw_images(30, 1))
    assert (draw_images(30, 1) != draw_images(30, 2)).any()


def test_a_draw_without_a_class_leaves_it_out_of_the_mean():
    detections = labeled_detections(([(HERE, 1)], [], [(HERE, 0.9, 1)]), ([(THERE, 2)], [], []))
    found = drawn_ap(match(detections), np.array([[2, 0], [1, 1], [0, 2]]))
    np.testing.assert_allclose(found, [[1, np.nan, np.nan], [1, 0, np.nan], [np.nan, 0, np.nan]])
    np.testing.assert_allclose(drawn_map(found), [1, 0.5, 0])


def test_no_images():
    counts = draw_images(0, 0, draws=5)
    found = drawn_ap(match(labeled_detections()), counts)
    assert found.shape == (5, len(LABELS))
    assert np.isnan(drawn_map(found)).all()
    assert interval(drawn_map(found)) is None


# Intervals


def test_an_interval_holds_the_middle_of_the_draws():
    assert interval(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))
    assert interval(np.full(10, 0.25)) == (0.25, 0.25)


def test_a_class_that_most_draws_lack_has_no_interval():
    values = np.full(10, np.nan)
    values[:4] = 0.5
    assert interval(values) is None
    values[:5] = 0.5
    assert interval(values) == (0.5, 0.5)


def test_draws_spread_as_much_as_samples_do():
    """40 independent samples of 40 images each, and the draws of each of them."""
    images = random_images(5, 1600)
    levels, spreads = [], []
    for part in range(40):
        detections = labeled_detections(*images[part * 40 : (part + 1) * 40])
        levels.append(coco_average_precision(detections)[0]["map"])
        spreads.append(np.nanstd(drawn_map(drawn_ap(match(detections), draw_images(40, part, draws=200)))))
    assert np.mean(spreads) == pytest.approx(np.std(levels, ddof=1), rel=0.3)
