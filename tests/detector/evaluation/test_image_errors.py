from __future__ import annotations

import numpy as np
import pytest

from pipeline.detector.evaluation.image_errors import best_threshold, image_errors
from pipeline.detector.evaluation.labeled_detections import beside_truth
from pipeline.records import Region
from tests.builders import box, image_id, sample

LEFT, RIGHT = (0.0, 0.0, 20.0, 20.0), (50.0, 50.0, 80.0, 80.0)
BOLT, NUT = 1, 2


def found(*rows):
    boxes = np.array([corners for corners, _, _ in rows], dtype=np.float64).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], dtype=np.float64)
    return boxes, scores, np.array([number for *_, number in rows], dtype=np.int64)


CASES = {
    "all found": (sample("all found", box(*LEFT), box(*RIGHT)), found((LEFT, 0.9, BOLT), (RIGHT, 0.8, BOLT)), 0.0),
    "another class": (sample("another class", box(*LEFT)), found((LEFT, 0.7, NUT)), 1.0),
    "in a region": (sample("in a region", ignore=(Region(*LEFT, "crowd"),)), found((LEFT, 0.65, BOLT)), 0.0),
    "one of two": (sample("one of two", box(*LEFT), box(*RIGHT)), found((LEFT, 0.6, BOLT)), 1 - 2 / 3),
    "nothing there": (sample("nothing there"), found(), 0.0),
    "below the threshold": (sample("below the threshold"), found((LEFT, 0.1, BOLT)), 0.0),
}


def errors_of(names):
    samples, detections, _ = zip(*(CASES[name] for name in names), strict=True) if names else ((), (), ())
    by_image = dict(zip([image_id(name) for name in names], detections, strict=True))
    return image_errors(beside_truth(["bolt", "nut"], samples, by_image, []))


def test_errors_written_out():
    """F1 is highest with the four surest: three of them right, one in a region, of five objects."""
    assert errors_of([]) == {}
    assert errors_of(list(CASES)) == {image_id(name): pytest.approx(error) for name, (*_, error) in CASES.items()}


def test_nothing_found_at_all():
    assert image_errors(beside_truth(["bolt"], [sample("a", box(*LEFT))], {image_id("a"): found()}, [])) == {
        image_id("a"): 1.0
    }


def test_images_that_could_not_be_read_are_missing():
    assert image_errors(beside_truth(["bolt"], [sample("a", box(*LEFT))], {}, [])) == {}


@pytest.mark.parametrize(
    ("right", "scores", "true_boxes", "expected"),
    [
        ([], [], 3, float("inf")),
        ([1], [0.4], 1, 0.4),
        ([1, 0], [0.9, 0.4], 1, 0.9),
        ([1, 0, 1], [0.9, 0.5, 0.5], 2, 0.5),  # both of a score or none
        ([1, 0, 0, 0, 1], [0.9, 0.5, 0.4, 0.3, 0.2], 1, 0.9),
        ([0, 0], [0.9, 0.5], 1, 0.9),
    ],
)
def test_the_threshold_is_where_f1_is_highest(right, scores, true_boxes, expected):
    assert best_threshold(np.array(right, dtype=bool), np.array(scores, dtype=np.float64), true_boxes) == expected
