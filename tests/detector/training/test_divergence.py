from __future__ import annotations

import math

import pytest
import torch

from pipeline.detector.training.divergence import REMEMBERED, DivergenceWatch
from pipeline.settings import RecoverySettings


def losses(classification, box=0.1):
    return {"classification": torch.tensor(classification), "box": torch.tensor(box)}


def watch(*rows, norms=None, divergence=5.0):
    made = DivergenceWatch(RecoverySettings(divergence=divergence))
    for step, row in enumerate(rows):
        norm = torch.tensor(1.0 if norms is None else norms[step])
        made.record(step, row, norm, [f"image{step}"])
    return made


def test_nothing_seen_is_no_trouble():
    assert watch().look() is None


def test_all_is_well_and_forgotten():
    made = watch(losses(1.0), losses(2.0))
    assert made.look() is None
    assert made.means == [pytest.approx(1.6)]
    assert made.look() is None
    assert len(made.means) == 1


@pytest.mark.parametrize(
    ("rows", "norms", "step", "cause"),
    [
        ([losses(math.nan)], None, 0, "classification nan"),
        ([losses(1.0), losses(1.0, math.inf), losses(math.nan)], None, 1, "box inf"),
        ([losses(1.0), losses(1.0)], [1.0, math.inf], 1, "gradient inf"),
        ([losses(math.nan, math.nan)], [math.nan], 0, "classification nan, box nan, gradient nan"),
    ],
)
def test_the_first_bad_step_and_its_cause_are_named(rows, norms, step, cause):
    trouble = watch(*rows, norms=norms).look()
    assert (trouble.step, trouble.cause, trouble.image_ids) == (step, cause, (f"image{step}",))


def test_infinite_gradients_are_no_trouble_where_they_are_expected():
    made = DivergenceWatch(RecoverySettings())
    made.record(0, losses(1.0), None, ["one"])
    assert made.look() is None


@pytest.mark.parametrize(("leap", "well"), [(4.8, True), (7.0, False)])
def test_a_loss_that_leaps_has_diverged(leap, well):
    made = watch(losses(0.9), losses(0.9))
    assert made.look() is None
    for step, loss in ((2, leap - 0.2), (3, leap)):
        made.record(step, losses(loss), torch.tensor(1.0), [f"image{step}"])
    trouble = made.look()
    assert (trouble is None) == well
    assert well or (trouble.step, trouble.image_ids) == (3, ("image3",))
    assert well or trouble.cause == "loss 7.1 after 1"


def test_a_leap_that_is_over_is_no_trouble():
    made = watch(losses(0.9), losses(0.9))
    assert made.look() is None
    for step, loss in ((2, 700.0), (3, 1.2)):
        made.record(step, losses(loss), torch.tensor(1.0), [f"image{step}"])
    assert made.look() is None


def test_a_slow_rise_is_not_a_leap_and_old_losses_are_forgotten():
    made = DivergenceWatch(RecoverySettings(divergence=5.0))
    for step in range(20):
        made.record(step, losses(1.3**step), torch.tensor(1.0), [])
        assert made.look() is None
    assert len(made.means) == REMEMBERED


def test_next_to_no_loss_may_rise_to_little():
    made = watch(losses(0.0, 0.0))
    made.look()
    made.record(1, losses(0.004, 0.0), torch.tensor(1.0), [])
    assert made.look() is None
