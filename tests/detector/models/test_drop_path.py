from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.detector.models.backbones import build_backbone
from pipeline.detector.models.drop_path import ScheduledDropPath, schedule_drop_path, set_progress
from tests.detector.runs import Run
from tests.detector.small import differing, network, scenes, training


def dropping(module):
    return [each for each in module.modules() if isinstance(each, ScheduledDropPath)]


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_the_probability_rises_with_the_run(progress):
    torch.manual_seed(0)
    layer = ScheduledDropPath(0.6).train()
    set_progress(layer, progress)
    out = layer(torch.ones(4000, 1))
    dropped = 0.6 * progress
    assert abs((out == 0).float().mean().item() - dropped) < 0.03
    assert out.max().item() == pytest.approx(1 / (1 - dropped))
    assert out.unique().numel() == (2 if dropped else 1)


def test_nothing_is_dropped_outside_training():
    layer = ScheduledDropPath(0.9).eval()
    set_progress(layer, 1.0)
    assert torch.equal(layer(torch.ones(100, 3)), torch.ones(100, 3))


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", "own:scnet26", "own:hetconv_resnet18", "own:binary_resnet18"]
)
def test_later_paths_are_dropped_more_often(name):
    backbone, _ = build_backbone(network(backbone=name, drop_path=0.4), frozen_stages=1)
    finals = [each.final for each in dropping(backbone)]
    assert finals == sorted(finals)
    assert 0 < finals[-1] < 0.401


def test_every_path_of_a_cell_is_dropped():
    """The cells of NASNet, in small: paths are told by their names."""
    cell = nn.Module()
    cell.comb_iter_0_left, cell.comb_iter_0_right, cell.conv = nn.ReLU(), nn.Tanh(), nn.Identity()
    schedule_drop_path(cell, 0.3, "nasnetalarge")
    assert [each.final for each in dropping(cell)] == [0.3, 0.3]
    assert isinstance(cell.comb_iter_0_left[0], nn.ReLU)
    assert isinstance(cell.conv, nn.Identity)


@pytest.mark.slow
def test_nasnet_has_cells():
    backbone, _ = build_backbone(network(backbone="nasnetalarge", drop_path=0.3), frozen_stages=2)
    assert len(dropping(backbone)) > 100
    assert all(torch.isfinite(level).all() for level in backbone.train()(torch.zeros(1, 3, 64, 64)).values())


def test_a_run_raises_the_probability_and_repeats(tmp_path):
    weights = []
    for name in ("one", "other"):
        run = Run(tmp_path, scenes(tmp_path, 3), training(steps=3), name=name, network={"drop_path": 0.5})
        run.start()
        assert all(each.progress == pytest.approx(2 / 3) for each in dropping(run.model))
        weights.append(run.weights())
    assert not differing(*weights)
