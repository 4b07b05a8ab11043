from __future__ import annotations

import numpy as np
import pytest

from pipeline.detector.evaluation.average_precision import average_precision
from pipeline.detector.evaluation.curves import average_precision_of, precision_recall, reliability
from pipeline.detector.evaluation.matching import match
from tests.detector.scenes import LABELS, drawn, judged

BOX, AWAY = (0, 0, 100, 100), (150, 150, 180, 180)


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_at_half_is_cocos(seed):
    told = drawn(seed)
    matches = match(told)
    _, per_class = average_precision(told)
    for number, label in enumerate(LABELS, 1):
        own = (matches.classes == number) & ~matches.ignored[0]
        count = int(matches.true_boxes[:, number - 1].sum())
        if count:
            assert average_precision_of(matches.right[0][own], count) == pytest.approx(
                per_class[label]["ap50"], abs=1e-9
            )


def test_precision_by_recall():
    told = judged(
        ([(BOX, 1)], [], [(BOX, 0.9, 1), (AWAY, 0.8, 1)]), ([(BOX, 1)], [], [(BOX, 0.7, 1)]), ([(BOX, 2)], [], [])
    )
    curves = precision_recall(match(told))
    assert curves.keys() == {"bolt", "nut"}, "nothing to say of a class without objects"
    assert curves["bolt"] == pytest.approx([1.0] * 11 + [2 / 3] * 10)
    assert curves["nut"] == [0.0] * 21


def test_nothing_found():
    assert average_precision_of(np.zeros(0, dtype=np.bool_), 3) == 0.0
    assert precision_recall(match(judged())) == {}
    assert reliability(match(judged())) == []


def test_reliability_has_a_row_a_range_of_confidence():
    told = judged(([(BOX, 1)], [], [(BOX, 0.95, 1), (AWAY, 0.92, 1), (AWAY, 0.11, 1)]), ([], [AWAY], [(AWAY, 0.5, 1)]))
    rows = reliability(match(told))
    assert rows == [(pytest.approx(0.11), 0.0, 1), (pytest.approx(0.935), 0.5, 2)]


def test_a_confidence_of_one_lies_in_the_last_range():
    assert reliability(match(judged(([(BOX, 1)], [], [(BOX, 1.0, 1)])))) == [(1.0, 1.0, 1)]
