from __future__ import annotations

import logging

import pytest
import torch

from pipeline.detector.models.channel_groups import ChannelGroups, dropped_share, pointwise_convolutions
from pipeline.detector.training import groupable
from pipeline.detector.training.groupable import Groupable, kept_shares, penalty
from pipeline.settings import GroupableSettings
from tests.detector.small import detector, training, weights_of

WEIGHT = torch.tensor([[3.0, 1.0], [2.0, 0.0], [4.0, 2.0], [1.0, 5.0]])
GROUPS = ChannelGroups(torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1]))
"""Outside lie 1 and 2, and 2 and 1: two blocks of two weights, each of the norm root 5."""


def test_the_penalty_written_out():
    assert penalty(WEIGHT, GROUPS, 2).item() == pytest.approx(2 * 2**0.5 * 5**0.5)
    inside = WEIGHT * (GROUPS.outputs[:, None] == GROUPS.inputs)
    assert penalty(inside, GROUPS, 2).item() == 0


def test_what_is_kept_written_out():
    shares = kept_shares(WEIGHT, GROUPS, 2, 0.5)
    outside = 1 - 0.5 * 2**0.5 / 5**0.5
    expected = torch.tensor([[1, outside], [outside, 1], [1, outside], [outside, 1]])
    torch.testing.assert_close(shares, expected)
    assert kept_shares(WEIGHT, GROUPS, 2, 1.6).tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    for scale in (0.0, 0.5):
        assert kept_shares(torch.zeros(4, 2), GROUPS, 2, scale).isfinite().all()


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_shrinking_is_the_proximal_operator_of_the_penalty(scale):
    """It minimises half the squared distance plus the scaled penalty: no small change of it costs less."""
    shrunk = WEIGHT * kept_shares(WEIGHT, GROUPS, 2, scale)

    def cost(weight):
        return (0.5 * (weight - WEIGHT).square().sum() + scale * penalty(weight, GROUPS, 2)).item()

    generator = torch.Generator().manual_seed(0)
    for size in (1e-1, 1e-2):
        for _ in range(50):
            assert cost(shrunk + size * torch.randn(4, 2, generator=generator)) >= cost(shrunk) - 1e-6


def test_a_step_of_a_detector_shrinks_what_lies_outside_and_nothing_else():
    model = detector(settings=training(frozen_stages=2)).train()
    before = weights_of(model)
    shrinking = Groupable(model, GroupableSettings(weight=100.0, groups=2))
    shrinking.shrink(0, 1e-3)
    layers = {f"network.backbone.body.{name}.weight" for name in shrinking.groups}
    assert layers
    assert {name for name, tensor in weights_of(model).items() if not torch.equal(tensor, before[name])} == layers
    for name, groups in shrinking.groups.items():
        layer = model.body.get_submodule(name)
        old, new = before[f"network.backbone.body.{name}.weight"][:, :, 0, 0], layer.weight[:, :, 0, 0]
        assert layer.weight.requires_grad
        inside = groups.outputs[:, None] == groups.inputs
        torch.testing.assert_close(new[inside], old[inside], rtol=0, atol=0)
        assert dropped_share(new, groups, 2) < dropped_share(old, groups, 2)
    for step in range(1, 21):
        shrinking.shrink(step, 1e-3)
    for name, groups in shrinking.groups.items():
        assert dropped_share(model.body.get_submodule(name).weight[:, :, 0, 0], groups, 2) == 0


def test_groups_are_searched_at_set_steps(monkeypatch):
    model = detector().train()
    starts = []

    def found(_weight, _count, start):
        starts.append(start)
        return GROUPS

    monkeypatch.setattr(groupable, "find_groups", found)
    monkeypatch.setattr(groupable, "kept_shares", lambda *_: 1.0)
    shrinking = Groupable(model, GroupableSettings(weight=1.0))
    count = len(pointwise_convolutions(model.body, 2))
    for step in range(2 * groupable.REFINED_EVERY):
        shrinking.shrink(step, 1e-3)
    assert starts == [None] * count + [GROUPS] * count


def test_a_weight_of_0_does_nothing():
    model = detector().train()
    before = weights_of(model)
    Groupable(model, GroupableSettings()).shrink(0, 1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(model).items())


@pytest.mark.parametrize(("groups", "stages"), [(7, 0), (2, 5)])
def test_a_body_in_which_nothing_can_shrink_is_named(caplog, groups, stages):
    model = detector(settings=training(frozen_stages=stages))
    with caplog.at_level(logging.WARNING):
        Groupable(model, GroupableSettings(weight=1.0, groups=groups))
    assert f"has a multiple of {groups} channels" in caplog.text
