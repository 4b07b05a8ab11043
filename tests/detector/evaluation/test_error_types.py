from __future__ import annotations

import numpy as np
import pytest

from pipeline.artefacts import ERROR_TYPES
from pipeline.detector.evaluation.average_precision import coco_average_precision
from pipeline.detector.evaluation.error_types import measure_errors
from pipeline.detector.evaluation.matching import match
from tests.detector.scenes import labeled_detections, random_detections

BOX, MOVED, AWAY = (0, 0, 100, 100), (40, 0, 140, 100), (150, 150, 180, 180)
"""The second overlaps the first by 0.43."""


def counts(*images):
    detections = labeled_detections(*images)
    return {
        kind: cost.count for kind, cost in measure_errors(detections, match(detections)).costs.items() if cost.count
    }


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], {"missed": 1}),
        ([(BOX, 0.9, 1)], {}),
        ([(BOX, 0.9, 2)], {"classification": 1}),
        ([(MOVED, 0.9, 1)], {"localisation": 1}),
        ([(MOVED, 0.9, 2)], {"both": 1, "missed": 1}),
        ([(AWAY, 0.9, 1)], {"background": 1, "missed": 1}),
        ([(AWAY, 0.9, 2)], {"background": 1, "missed": 1}),
        ([(BOX, 0.9, 1), (BOX, 0.8, 1)], {"duplicate": 1}),
        ([(BOX, 0.9, 1), (BOX, 0.8, 1), (BOX, 0.7, 1)], {"duplicate": 2}),
        ([(BOX, 0.9, 1), (MOVED, 0.8, 1)], {"localisation": 1}),
        ([(BOX, 0.9, 1), (BOX, 0.8, 2)], {"classification": 1}),
    ],
)
def test_each_kind(answers, expected):
    assert counts(([(BOX, 1)], [], answers)) == expected


def test_nothing_there():
    assert counts() == {}
    assert counts(([], [], [(BOX, 0.9, 1)])) == {"background": 1}


def test_ignore_regions_are_no_mistakes():
    assert counts(([], [BOX], [(BOX, 0.9, 1)])) == {}


def test_the_order_in_which_the_paper_asks():
    """Near a box of its own class and right on one of another: localisation comes first."""
    assert counts(([(MOVED, 1), (BOX, 2)], [], [(BOX, 0.9, 1), (BOX, 0.8, 2)])) == {"localisation": 1}


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([], "missed"),
        ([(BOX, 0.9, 2)], "classification"),
        ([(MOVED, 0.9, 1)], "localisation"),
    ],
)
def test_what_a_kind_costs(answers, kind):
    """The only mistake in a class of two objects: putting it right makes average precision 1."""
    others = ([(BOX, 1)], [], [(BOX, 0.95, 1)]), ([(BOX, 2)], [], [(BOX, 0.99, 2)])
    detections = labeled_detections(([(BOX, 1)], [], answers), *others)
    overall, _ = coco_average_precision(detections)
    costs = measure_errors(detections, match(detections)).costs
    assert costs[kind].ap50 == pytest.approx(1 - overall["map50"], abs=1e-9)
    rest = [cost.ap50 for name, cost in costs.items() if name not in {kind, "missed"}]
    assert rest == pytest.approx([0] * len(rest))


def test_a_false_one_above_a_right_one_costs_precision():
    detections = labeled_detections(([(BOX, 1)], [], [(AWAY, 0.9, 1), (BOX, 0.8, 1)]))
    assert measure_errors(detections, match(detections)).costs["background"].ap50 == pytest.approx(0.5)


def test_only_the_surest_about_an_object_is_put_right():
    detections = labeled_detections(([(BOX, 1)], [], [(MOVED, 0.9, 1), (MOVED, 0.8, 1)]))
    costs = measure_errors(detections, match(detections)).costs
    assert costs["localisation"].count == 2
    assert costs["localisation"].ap50 == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(8))
def test_every_wrong_detection_has_one_kind_and_nothing_gets_worse(seed):
    detections = random_detections(seed, 20)
    matches = match(detections)
    costs = measure_errors(detections, matches).costs
    assert list(costs) == list(ERROR_TYPES)
    wrong = ~matches.right[0] & ~matches.ignored[0]
    assert sum(cost.count for kind, cost in costs.items() if kind != "missed") == wrong.sum()
    assert costs["missed"].count <= (~matches.found[0]).sum()
    assert all(cost.ap50 >= -1e-9 for cost in costs.values())
    assert not np.isnan([cost.ap50 for cost in costs.values()]).any()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], {}),
        ([(BOX, 0.9, 1), (AWAY, 0.8, 2)], {}),
        ([(BOX, 0.9, 2)], {"1": {"2": 1}}),
        ([(BOX, 0.9, 2), (BOX, 0.8, 2), (BOX, 0.7, 3)], {"1": {"2": 2, "3": 1}}),
    ],
)
def test_which_class_is_taken_for_which(answers, expected):
    detections = labeled_detections(([(BOX, 1)], [], answers))
    names = dict(zip(detections.labels, "123", strict=False))
    found = measure_errors(detections, match(detections))
    told = {names[true]: {names[named]: n for named, n in own.items()} for true, own in found.confusions.items()}
    assert told == expected
    assert sum(n for own in expected.values() for n in own.values()) == found.costs["classification"].count
