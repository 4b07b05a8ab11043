from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.detector.teacher import build_teacher


# After n updates (1 + n) / (10 + n) of the average stays: 2/11, 3/12, 4/13, ... as long as that is under the decay.
@pytest.mark.parametrize(
    ("decay", "weights", "expected"),
    [
        (0.99, [], 7.0),
        (0.99, [1.0], 1.0),
        (0.99, [1.0, 2.0], 1.0 * 2 / 11 + 2.0 * 9 / 11),
        (0.99, [1.0, 2.0, 4.0], (2 / 11 + 18 / 11) * 3 / 12 + 4.0 * 9 / 12),
        (0.2, [1.0, 2.0, 4.0], (2 / 11 + 18 / 11) * 0.2 + 4.0 * 0.8),
        (0.1, [1.0, 2.0, 4.0], (0.1 + 1.8) * 0.1 + 4.0 * 0.9),
        (0.0, [1.0, 2.0, 4.0], 4.0),
    ],
)
def test_the_average_written_out(decay, weights, expected):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 7.0)
    teacher = build_teacher(model, decay)
    for weight in weights:
        nn.init.constant_(model.weight, weight)
        teacher.update_parameters(model)
    assert teacher.module.weight.item() == pytest.approx(expected)


def test_a_long_run_forgets_at_the_pace_that_was_set():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    teacher = build_teacher(model, 0.9)
    for _ in range(200):
        teacher.update_parameters(model)
    nn.init.constant_(model.weight, 1.0)
    for _ in range(10):
        teacher.update_parameters(model)
    assert teacher.module.weight.item() == pytest.approx(1 - 0.9**10, rel=1e-4)


def test_the_average_goes_on_from_a_checkpoint():
    model = nn.Linear(3, 2)
    one, other = build_teacher(model, 0.9), build_teacher(nn.Linear(3, 2), 0.9)
    for _ in range(3):
        nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(0))
        one.update_parameters(model)
    other.load_state_dict(one.state_dict())
    nn.init.ones_(model.weight)
    for teacher in (one, other):
        teacher.update_parameters(model)
    assert torch.equal(one.module.weight, other.module.weight)
