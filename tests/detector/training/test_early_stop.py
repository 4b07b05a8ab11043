from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.detector.training.early_stop import EarlyStop
from pipeline.settings import EarlyStopSettings


def stop(**values) -> EarlyStop:
    return EarlyStop(EarlyStopSettings(**{"enabled": True, "every_steps": 5, "patience": 2, **values}))


@pytest.mark.parametrize(
    ("values", "steps", "due"),
    [({}, 4, False), ({}, 5, True), ({}, 6, False), ({}, 10, True), ({"enabled": False}, 5, False)],
)
def test_is_due(values, steps, due):
    assert stop(**values).is_due(steps) == due


@pytest.mark.parametrize(
    ("patience", "scores", "stops_after", "best"),
    [
        (1, [], None, float("-inf")),
        (1, [0.1, 0.2, 0.3], None, 0.3),
        (1, [0.3, 0.2], 2, 0.3),
        (1, [0.3, 0.3], 2, 0.3),
        (2, [0.3, 0.2, 0.4, 0.1, 0.1], 5, 0.4),
        (2, [-1.0, -1.0, -1.0], 3, -1.0),  # nothing on val to measure
    ],
)
def test_it_stops_when_nothing_gets_better(patience, scores, stops_after, best):
    watch, model = stop(patience=patience), nn.Linear(1, 1)
    verdicts = [watch.update(score, model) for score in scores]
    assert verdicts == [index + 1 == stops_after for index in range(len(scores))]
    assert watch.best_score == best


def test_the_best_weights_are_a_copy():
    watch, model = stop(), nn.Linear(1, 1, bias=False)
    for weight, score in ((1.0, 0.5), (2.0, 0.9), (3.0, 0.7)):
        nn.init.constant_(model.weight, weight)
        watch.update(score, model)
    assert watch.best_weights is not None
    assert watch.best_weights["weight"].item() == 2.0


def test_it_goes_on_from_a_checkpoint():
    watch, again, model = stop(), stop(), nn.Linear(1, 1)
    watch.update(0.5, model)
    watch.update(0.4, model)
    again.load_state_dict(watch.state_dict())
    assert torch.equal(again.best_weights["weight"], watch.best_weights["weight"])
    assert again.update(0.5, model) is True
    assert again.best_score == 0.5
