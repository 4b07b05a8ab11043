from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.detector.models.backbones import build_backbone
from pipeline.detector.models.norms import fold_batch_norm
from pipeline.detector.models.statistics import reestimate
from tests.detector.small import detector, network, noise

SHIFTED = 0.3


def shifted(images):
    """Another camera: darker, and of less contrast."""
    return (images.float() * SHIFTED + 20).to(torch.uint8)


def pyramid(model, images):
    with torch.no_grad():
        return model.network.backbone(model.network.transform(images)[0].tensors)


def gap(model, clean, images):
    return sum((pyramid(model, images)[name] - clean[name]).abs().mean().item() for name in clean)


@pytest.mark.parametrize(("kind", "left"), [("frozen", 0.5), ("synchronised", 0.5), ("switchable", 0.9)])
def test_a_shifted_image_looks_again_as_it_did(kind, left):
    """Not wholly: it is rounded, and padded with zeros; and switchable layers hardly noticed the shift."""
    torch.manual_seed(0)
    model, images = detector(batch_norm=kind).eval(), noise(8)
    reestimate(model, [images], [images])  # what it learnt from
    clean = pyramid(model, images)
    before = gap(model, clean, shifted(images))
    changed = reestimate(model, [images], [shifted(images)])
    assert changed > 5
    assert not model.training
    assert gap(model, clean, shifted(images)) < left * before


def test_folded_statistics_are_those_of_batch_normalisation():
    """The same body, once with statistics to estimate anew and once with them folded, ends at the same outputs."""
    torch.manual_seed(0)
    learning, folded = (detector(batch_norm=kind).eval() for kind in ("synchronised", "frozen"))
    images = noise(8)
    reestimate(learning, [], [images])
    # The folded one begins as the other: its weights and statistics, folded.
    twin, _ = build_backbone(network(batch_norm="synchronised"), 0)
    twin.load_state_dict(learning.network.backbone.state_dict())
    fold_batch_norm(twin.body)
    folded.network.backbone.body.load_state_dict(twin.body.state_dict())
    folded.network.backbone.fpn.load_state_dict(twin.fpn.state_dict())
    reestimate(learning, [], [shifted(images)])
    reestimate(folded, [images], [shifted(images)])
    for one, other in zip(pyramid(learning, images).values(), pyramid(folded, images).values(), strict=True):
        assert (one - other).abs().max() < 0.02 * one.abs().max()


@pytest.mark.parametrize("kind", ["group", "layer", "instance", "moving_average"])
def test_kinds_without_statistics_are_refused(kind):
    with pytest.raises(ValueError, match=f"batch_norm '{kind}' of 'test_efficientnet', which has no statistics"):
        reestimate(detector(batch_norm=kind), [noise(1)], [noise(1)])


@pytest.mark.parametrize("kind", ["frozen", "synchronised"])
def test_without_images_nothing_is_estimated(kind):
    with pytest.raises(ValueError, match="found none"):
        reestimate(detector(batch_norm=kind).eval(), [], [])


def test_torchvisions_frozen_layers_are_refused():
    model = detector(backbone="torchvision:resnet18")
    assert not any(isinstance(each, nn.BatchNorm2d) for each in model.body.modules())
    with pytest.raises(ValueError, match="'frozen' of 'torchvision:resnet18'"):
        reestimate(model, [noise(1)], [noise(1)])
