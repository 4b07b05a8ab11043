from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.models.backbones import build_backbone
from pipeline.detector.models.norms import set_normalisation, synchronise_batch_norm
from pipeline.detector.models.saved import load_model, save_model
from pipeline.errors import PipelineError
from pipeline.folder import Folder
from pipeline.records import State
from tests.detector.runs import Run
from tests.detector.small import ALL_ON, card, detector, differing, network, noise, scenes, training, weights_of

BACKBONES = ["test_efficientnet", "torchvision:resnet18"]


def body_of(name, kind, frozen_stages=0):
    backbone, _ = build_backbone(network(backbone=name, batch_norm=kind), frozen_stages)
    return backbone.train()


def kinds_in(module, *kinds):
    return sum(isinstance(one, kinds) for one in module.modules())


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(
    ("kind", "learning", "grouped"),
    [
        ("frozen", False, False),
        ("group", False, True),
        ("layer", False, True),
        ("instance", False, True),
        ("synchronised", True, False),
        ("switchable", False, False),
        ("moving_average", False, False),
    ],
)
def test_what_normalises(name, kind, learning, grouped):
    backbone = body_of(name, kind)
    assert bool(kinds_in(backbone, nn.BatchNorm2d)) == learning
    assert bool(kinds_in(backbone, nn.GroupNorm)) == grouped
    levels = backbone(torch.randn(2, 3, 64, 64))
    assert all(torch.isfinite(level).all() for level in levels.values())


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("kind", ["frozen", "group", "layer", "instance"])
def test_an_image_is_seen_alike_in_every_batch(name, kind):
    backbone, images = body_of(name, kind), torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together, alone = backbone(images), backbone(images[:1])
    for level, one in alone.items():
        torch.testing.assert_close(together[level][:1], one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_statistics_follow_the_batch_but_not_in_stages_that_do_not_learn(name):
    backbone = body_of(name, "synchronised", frozen_stages=2)
    before = {key: value.clone() for key, value in backbone.state_dict().items() if "running_mean" in key}
    backbone(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) + 3)
    moved = {key: not torch.equal(value, backbone.state_dict()[key]) for key, value in before.items()}
    assert any(moved.values())
    first, *_, last = moved.items()
    assert not first[1]
    assert last[1]


def test_groups_divide_the_channels_and_scales_stay():
    body = nn.Sequential(nn.Conv2d(3, 48, 3), nn.BatchNorm2d(48), nn.Conv2d(48, 7, 1), nn.BatchNorm2d(7))
    nn.init.constant_(body[1].weight, 0.25)
    body[1].weight.requires_grad_(False)
    set_normalisation(body, "group")
    assert [(one.num_groups, one.num_channels) for one in (body[1][0], body[3][0])] == [(24, 48), (7, 7)]
    assert body[1][0].weight.unique().tolist() == [0.25]
    assert not body[1][0].weight.requires_grad


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("layer", lambda x: nn.functional.layer_norm(x, x.shape[1:])),
        ("instance", nn.functional.instance_norm),
        ("group", lambda x: nn.functional.group_norm(x, 24)),
    ],
)
def test_kinds_of_an_image_are_torchs(kind, expected):
    body = nn.Sequential(nn.Conv2d(3, 48, 3), nn.BatchNorm2d(48))
    set_normalisation(body, kind)
    x = body[0](torch.randn(2, 3, 16, 16))
    torch.testing.assert_close(body[1](x), expected(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["switchable", "moving_average"])
def test_kinds_of_the_batch_leave_stages_that_do_not_learn(kind):
    body = body_of("test_efficientnet", kind, frozen_stages=2).body
    norms = [type(module).__name__ for module in body.modules() if "Norm" in type(module).__name__]
    assert "Frozen" in norms[0]
    assert {"switchable": "SwitchableNorm", "moving_average": "MovingAverageNorm"}[kind] in norms


def test_cpus_cannot_synchronise():
    frozen = body_of("test_efficientnet", "frozen")
    synchronise_batch_norm(frozen, torch.device("cpu"))  # nothing to do
    with pytest.raises(PipelineError, match="'synchronised' with several processes expects GPUs, got CPUs"):
        synchronise_batch_norm(body_of("test_efficientnet", "synchronised"), torch.device("cpu"))


@pytest.mark.parametrize("kind", ["group", "synchronised", "switchable", "moving_average"])
def test_a_run_with_another_normalisation(tmp_path, kind):
    """Two images a step, student and teacher; what was learnt comes back from disk and finds the same."""
    samples = scenes(tmp_path, 3) + scenes(tmp_path, 3, State.PSEUDO, "pseudo")
    run = Run(tmp_path, samples, training(**{**ALL_ON, "steps": 3}), network={"batch_norm": kind, "score_floor": 0.0})
    first = weights_of(run.prepared(detector(settings=run.settings, **run.network)))
    run.start()
    assert all(torch.isfinite(tensor).all() for tensor in run.weights().values() if tensor.is_floating_point())
    assert differing(first, run.weights())
    models = Folder(tmp_path / "models")
    back = load_model(models, save_model(models, run.model, card(detector=run.model.settings)))
    on_cpu = PredictionSettings(accelerator="cpu")
    for before, after in zip(*(Predictor(model, on_cpu)(noise(2)) for model in (run.model, back)), strict=True):
        assert len(before) > 0
        assert torch.equal(before.scores, after.scores)
