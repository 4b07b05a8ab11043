"""A step that goes wrong is taken back, and the run goes on slower."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.settings import PlateauSettings, RecoverySettings
from tests.detector.runs import Killed, Run, kill_at
from tests.detector.small import differing, plan, scenes, training


class Poisoned(Run):
    """A run whose classification loss is multiplied at some steps; each bad step is met so many times."""

    def __init__(self, *args, at=13, factor=math.nan, times=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.at, self.factor, self.left = at, factor, times

    def prepared(self, model):
        """The images of a step tell which it is."""
        original, bad = model.losses, plan(self.samples, self.settings, self.seed)[self.at].images

        def losses(images, targets):
            made = original(images, targets)
            if self.left and images.shape == bad.shape and torch.equal(images, bad):
                self.left -= 1
                made["classification"] = made["classification"] * self.factor
            return made

        model.losses = losses
        return model


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return scenes(tmp_path_factory.mktemp("images"), 12)


def settings(**values):
    return training(**{"steps": 24, "checkpoint_every_steps": 5, **values})


@pytest.mark.parametrize(("factor", "cause"), [(math.nan, "classification nan"), (math.inf, "classification inf")])
def test_a_step_that_is_not_finite_is_taken_back(tmp_path, samples, factor, cause):
    run = Poisoned(tmp_path, samples, settings(), factor=factor)
    result = run.start()
    made = plan(samples, settings(), run.seed)
    assert len(result.rollbacks) == 1
    taken_back = result.rollbacks[0]
    assert (taken_back.step, taken_back.to) == (13, 10)
    assert cause in taken_back.cause
    assert list(taken_back.image_ids) == made[13].image_ids
    assert result.steps == 24
    assert result.images == 48
    assert [logged.step for logged in result.curve] == [10, 20, 24]
    assert all(torch.isfinite(tensor).all() for tensor in run.weights().values() if tensor.is_floating_point())


def test_a_leap_of_the_loss_that_is_not_over_is_taken_back(tmp_path, samples):
    run = Poisoned(tmp_path, samples, settings(checkpoint_every_steps=7), factor=1e4)  # looks back after step 13
    result = run.start()
    assert [(back.step, back.to) for back in result.rollbacks] == [(13, 10)]
    assert result.rollbacks[0].cause.startswith("loss ")


def test_what_was_taken_back_leaves_no_trace_but_a_lower_rate(tmp_path, samples):
    """With nothing to learn slower, the run ends as one that never went wrong."""
    still = settings(recovery=RecoverySettings(learning_rate_factor=1 - 1e-12))
    good, bad = Run(tmp_path, samples, still, name="good"), Poisoned(tmp_path, samples, still, name="bad")
    for run in (good, bad):
        run.start()
    assert len(good.checkpoints.names()) > 0
    for name, weights in good.weights().items():
        torch.testing.assert_close(bad.weights()[name], weights, atol=1e-6, rtol=0)


def test_the_rate_stays_lower(tmp_path, samples):
    plain = Run(tmp_path, samples, settings(), name="plain").start()
    slower = Poisoned(tmp_path, samples, settings(), name="slower").start()
    ratios = [low.lr / full.lr for low, full in zip(slower.curve, plain.curve, strict=True) if full.lr]
    assert ratios == pytest.approx([1.0, 0.5])


def test_a_run_that_was_taken_back_and_killed_goes_on_as_one_that_was_not_killed(tmp_path, samples):
    whole = Poisoned(tmp_path, samples, settings(), name="whole")
    expected = whole.start()
    killed = Poisoned(tmp_path, samples, settings(), name="killed")
    with pytest.raises(Killed):
        killed.start(kill_at(17))
    result = killed.start()
    assert result.rollbacks == expected.rollbacks
    assert result.curve == expected.curve
    assert differing(killed.weights(), whole.weights()) == []


@pytest.mark.parametrize(("times", "most", "ends"), [(2, 2, False), (3, 2, True), (1, 0, True)])
def test_the_same_trouble_again_and_again_ends_the_run(tmp_path, samples, times, most, ends):
    bounded = settings(recovery=RecoverySettings(max_rollbacks=most))
    run = Poisoned(tmp_path, samples, bounded, times=times)
    if not ends:
        assert [back.to for back in run.start().rollbacks] == [10, 10]
        return
    with pytest.raises(PipelineError, match=rf"got classification nan, .* at step 13 .*, after {most} rollbacks"):
        run.start()


def test_weights_are_never_kept_unseen(tmp_path, samples):
    """A checkpoint comes at every step, so a bad one would be in it unless it was looked at first."""
    often = settings(checkpoint_every_steps=1)
    run = Poisoned(tmp_path, samples, often, times=5)
    with pytest.raises(PipelineError, match="step 13"):
        run.start()
    run.left = 0
    result = run.start()
    assert result.steps == 24
    assert all(torch.isfinite(tensor).all() for tensor in run.weights().values() if tensor.is_floating_point())


def test_a_step_that_is_taken_back_does_not_take_back_the_plateau(tmp_path, samples):
    """It goes wrong right after the length was found, and the run is still as long as was found then."""
    plateau = PlateauSettings(every_steps=4, smoothing=1, patience=0.5, min_steps=8)
    run = Poisoned(tmp_path, samples, settings(plateau=plateau, decay=0.5, steps=100), at=9, evaluate=lambda _: 0.0)
    result = run.start()
    assert [(back.step, back.to) for back in result.rollbacks] == [(9, 8)]
    assert [look.step for look in result.looks] == [4, 8]
    assert (result.plateau_step, result.steps) == (8, 16)
