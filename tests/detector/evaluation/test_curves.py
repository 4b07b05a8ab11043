from __future__ import annotations

import numpy as np
import pytest

from pipeline.artefacts import Curves
from pipeline.detector.evaluation.average_precision import coco_average_precision
from pipeline.detector.evaluation.curves import average_precision, measure_curves
from pipeline.detector.evaluation.matching import match
from tests.detector.scenes import LABELS, labeled_detections, random_detections

BOX, AWAY = (0, 0, 100, 100), (150, 150, 180, 180)


def plain_average_precision(right, ignored, true_boxes):
    """COCO's 101 points, one by one: the best precision at each recall or beyond."""
    precisions, recalls, found = [], [], 0
    for number, hit in enumerate((hit for hit, aside in zip(right, ignored, strict=True) if not aside), 1):
        found += hit
        precisions.append(found / number)
        recalls.append(found / true_boxes)
    points = [
        max((p for p, r in zip(precisions, recalls, strict=True) if r >= recall), default=0.0)
        for recall in np.linspace(0, 1, 101)
    ]
    return sum(points) / 101


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_equals_a_plain_loop_over_recalls(seed):
    random = np.random.default_rng(seed)
    right, ignored = random.random(30) < 0.4, random.random(30) < 0.2
    right &= ~ignored
    true_boxes = max(1, int(right.sum()) + int(random.integers(0, 4)))
    once = np.ones((1, 30), dtype=np.int64)
    found = average_precision(once, right, ignored, np.array([true_boxes]))
    assert found[0] == pytest.approx(plain_average_precision(right.tolist(), ignored.tolist(), true_boxes), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_at_half_is_cocos(seed):
    detections = random_detections(seed)
    matches = match(detections)
    _, per_class = coco_average_precision(detections)
    for number, label in enumerate(LABELS, 1):
        own, count = matches.classes == number, matches.true_boxes[:, [number - 1]].sum(0)
        once = np.ones((1, int(own.sum())), dtype=np.int64)
        assert count > 0
        level = average_precision(once, matches.right[0][own], matches.ignored[0][own], count)
        assert level[0] == pytest.approx(per_class[label].ap50, abs=1e-9)


def test_precision_by_recall():
    detections = labeled_detections(
        ([(BOX, 1)], [], [(BOX, 0.9, 1), (AWAY, 0.8, 1)]), ([(BOX, 1)], [], [(BOX, 0.7, 1)]), ([(BOX, 2)], [], [])
    )
    curves = measure_curves(match(detections)).precision_recall
    assert curves.keys() == {"bolt", "nut"}, "nothing to say of a class without objects"
    assert curves["bolt"] == pytest.approx([1.0] * 11 + [2 / 3] * 10)
    assert curves["nut"] == (0.0,) * 21


def test_nothing_found():
    none = np.zeros(0, dtype=np.bool_)
    assert average_precision(np.ones((1, 0), dtype=np.int64), none, none, np.array([3])).tolist() == [0.0]
    assert measure_curves(match(labeled_detections())) == Curves()


def test_reliability_has_one_row_per_range_of_confidence():
    answers = [(BOX, 0.95, 1), (AWAY, 0.92, 1), (AWAY, 0.11, 1)]
    detections = labeled_detections(([(BOX, 1)], [], answers), ([], [AWAY], [(AWAY, 0.5, 1)]))
    rows = measure_curves(match(detections)).reliability
    assert rows == ((pytest.approx(0.11), 0.0, 1), (pytest.approx(0.935), 0.5, 2))


def test_a_confidence_of_one_lies_in_the_last_range():
    certain = labeled_detections(([(BOX, 1)], [], [(BOX, 1.0, 1)]))
    assert measure_curves(match(certain)).reliability == ((1.0, 1.0, 1),)
