from __future__ import annotations

import numpy as np
import pytest

from pipeline.detector.evaluation.class_quality import class_quality
from pipeline.detector.evaluation.labeled_detections import LabeledDetections


def test_the_best_detection_of_its_class_counts_for_each_object():
    found = LabeledDetections(
        labels=("bolt", "nut", "gear"),
        image_ids=("a", "b"),
        sizes=np.array([[100, 100], [100, 100]]),
        image=np.array([0, 0, 1]),
        boxes=np.array([[0, 0, 10, 5], [0, 0, 10, 10], [0, 0, 10, 10]], dtype=np.float64),
        scores=np.array([0.9, 0.5, 0.8]),
        classes=np.array([1, 1, 1]),
        true_image=np.array([0, 0, 1]),
        true_boxes=np.array([[0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 10, 10]], dtype=np.float64),
        true_classes=np.array([1, 1, 2]),
        region_image=np.zeros(0, np.int64),
        regions=np.zeros((0, 4)),
    )
    best = max(0.9**0.6 * 0.5**0.4, 0.5**0.6)
    assert class_quality(found) == {"bolt": pytest.approx(best / 2), "nut": 0.0, "gear": 0.0}
