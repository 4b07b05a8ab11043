from __future__ import annotations

import pytest

from pipeline.artefacts import Look
from pipeline.detector.training.plateau import Plateau
from pipeline.settings import PlateauSettings


def plateau(**values) -> Plateau:
    return Plateau(PlateauSettings(**{"every_steps": 10, "smoothing": 1, "patience": 0.5, "min_steps": 1, **values}))


def looks(watch: Plateau, scores) -> int | None:
    """Which look, from 1, finds the plateau."""
    seen = [Look(10 * number, score) for number, score in enumerate(scores, 1)]
    verdicts = [watch.is_reached(seen[:end]) for end in range(1, len(seen) + 1)]
    return verdicts.index(True) + 1 if True in verdicts else None


@pytest.mark.parametrize(
    ("values", "steps", "due"),
    [({}, 9, False), ({}, 10, True), ({}, 20, True), ({"enabled": False}, 10, False)],
)
def test_is_due(values, steps, due):
    assert plateau(**values).is_due(steps) == due


def test_looks_are_ever_further_apart():
    due = [steps for steps in range(1, 501) if plateau().is_due(steps)]
    assert due == [*range(10, 101, 10), *range(120, 201, 20), *range(240, 401, 40), 480]


@pytest.mark.parametrize(
    ("values", "scores", "found"),
    [
        ({}, [], None),
        ({}, [0.1, 0.2, 0.3, 0.4], None),
        ({}, [0.3, 0.2], 2),  # waited 10 of 20 steps
        ({}, [0.1, 0.3, 0.2, 0.2], 4),  # 20 of 40
        ({}, [0.3, 0.3], 2),  # no higher is no better
        ({}, [-1.0, -1.0], 2),  # nothing to measure
        ({"patience": 0.75}, [0.3, 0.2, 0.1, 0.1], 4),
        ({"min_steps": 40}, [0.3, 0.2, 0.2, 0.2], 4),
        ({"smoothing": 3, "patience": 0.25}, [0.1, 0.2, 0.6, 0.3, 0.3], None),  # a lucky look is no summit
        ({"patience": 0.25}, [0.1, 0.2, 0.6, 0.3, 0.3], 4),
        ({}, [0.3, 0.303, 0.306, 0.309], 2),  # crumbs
        ({}, [0.3, 0.3101, 0.3202, 0.3303], None),
        ({"least_rise": 0.02}, [0.3, 0.315, 0.33, 0.345], 2),
        ({"patience": 0.75}, [0.3, 0.304, 0.308, 0.312], None),  # crumbs that add up to a rise
    ],
)
def test_it_sees_when_nothing_gets_better(values, scores, found):
    assert looks(plateau(**values), scores) == found
