"""Every backbone that docs/catalogue.md names: strides, folding, a training step, dilation."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from pipeline.detector.models.backbones import build_backbone
from pipeline.detector.models.bodies.hetconv import PARTS, HetConv2d
from pipeline.detector.models.bodies.light_bodies import LightBody
from pipeline.detector.models.bodies.scnet import SelfCalibrated
from pipeline.detector.models.bodies.shufflenet_v1 import CHANNELS, ShuffleNet, ShuffleUnit, shuffle
from pipeline.detector.models.norms import fold_batch_norm
from pipeline.settings import DetectorSettings
from tests.detector.models.test_backbones import lively
from tests.detector.small import RIGHT, detector, noise, target, training

LIGHT = [
    "mobilenetv1_100",
    "mobilenetv2_035",
    "mobilenetv3_small_050",
    "resnext26ts",
    "legacy_seresnet18",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:squeezenet1_1",
    "own:shufflenet_v1_x0_5",
    "own:hetconv_resnet18",
    "own:scnet26",
    "own:binary_resnet18",
]
DEEP = ["resnext50_32x4d", "seresnet50", "res2net50_26w_4s", "torchvision:squeezenet1_0", "own:scnet50"]


def settings(backbone, **values):
    return DetectorSettings(backbone=backbone, weights="none", fpn_channels=16, **values)


@pytest.mark.parametrize("name", [*LIGHT, *DEEP])
def test_strides_and_folding(name):
    """The maps of a body lie where anchors expect them, and folding changes nothing."""
    backbone, _ = build_backbone(settings(name, batch_norm="synchronised"), frozen_stages=0)
    body = lively(backbone.body).double()  # deep bodies make large numbers of the rounding of single precision
    pixels = torch.randn(1, 3, 128, 192, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        before = body(pixels)
        fold_batch_norm(body)
        after = body(pixels)
    assert [tuple(level.shape[-2:]) for level in before] == [(16, 24), (8, 12), (4, 6)]
    for one, other in zip(before, after, strict=True):
        assert (one - other).abs().max() <= 1e-7 * one.abs().max()


@pytest.mark.parametrize(
    ("name", "architecture"),
    [*((name, "retinanet") for name in LIGHT), ("torchvision:mobilenet_v3_large", "faster_rcnn")],
)
def test_a_training_step(name, architecture):
    """Every part of the body that may learn gets a finite gradient; inside branches that timm begins at 0 it is 0."""
    model = detector(architecture, backbone=name, batch_norm="group", settings=training(frozen_stages=0))
    losses = model.train().losses(noise(2), [target([RIGHT], [1]), target([RIGHT], [2])])
    sum(losses.values()).backward()
    learning = [p.grad for p in model.body.parameters() if p.requires_grad]
    assert learning
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in learning)
    assert sum(bool(gradient.abs().sum() > 0) for gradient in learning) > len(learning) / 4


@pytest.mark.parametrize(("stride", "sides"), [(32, (16, 8, 4)), (16, (16, 8, 8)), (8, (16, 16, 16))])
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "own:scnet26", "own:binary_resnet18"])
def test_dilation_keeps_maps_fine(name, stride, sides):
    backbone, _ = build_backbone(settings(name, output_stride=stride), frozen_stages=1)
    with torch.no_grad():
        levels = list(backbone.eval()(torch.zeros(1, 3, 128, 128)).values())
    assert tuple(level.shape[-1] for level in levels[:3]) == sides


def test_dilation_keeps_weights_and_what_they_see():
    """A dilated body has the same weights, and at every second place of its finer map says nearly the same."""
    torch.manual_seed(0)
    plain, _ = build_backbone(settings("test_resnet"), frozen_stages=0)
    dilated, _ = build_backbone(settings("test_resnet", output_stride=16), frozen_stages=0)
    dilated.load_state_dict(plain.state_dict())
    pixels = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        coarse, fine = plain.body(pixels)[-1], dilated.body(pixels)[-1]
    inner = coarse[..., 2:-2, 2:-2], fine[..., ::2, ::2][..., 2:-2, 2:-2]
    torch.testing.assert_close(*inner, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("architecture", ["retinanet", "fcos", "faster_rcnn"])
def test_every_detector_takes_a_dilated_body(architecture):
    model = detector(architecture, backbone="test_resnet", output_stride=16)
    losses = model.train().losses(noise(2), [target([RIGHT], [1]), target()])
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert len(model.eval()(noise(1))) == 1


def test_shuffling_deals_every_group_to_every_group():
    dealt = shuffle(torch.arange(12.0).view(1, 12, 1, 1), 3).flatten().tolist()
    assert dealt == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


@pytest.mark.parametrize(("name", "millions"), [("shufflenet_v1_x1_0", 137), ("shufflenet_v1_x0_5", 38)])
def test_shufflenet_costs_what_the_paper_says(name, millions):
    """Tables 1 and 2 of arXiv 1707.01083: multiply-adds at 224 pixels with three groups, classifier included."""
    network, counted = ShuffleNet(CHANNELS[name]), []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda own, _, out: counted.append(own.weight[0].numel() * out[0].numel()))
    network.eval()(torch.zeros(1, 3, 224, 224))
    assert abs(sum(counted) + CHANNELS[name][-1] * 1000 - millions * 1e6) < 0.03 * millions * 1e6


def test_a_unit_that_halves_appends_the_mean_of_its_input():
    unit = ShuffleUnit(24, 240, stride=2, grouped=False).eval()
    x = torch.rand(1, 24, 8, 8)
    out = unit(x)
    assert out.shape == (1, 240, 4, 4)
    torch.testing.assert_close(out[:, :24, 1, 1], x[:, :, 1:4, 1:4].mean((2, 3)))


def test_hetconv_is_a_convolution_whose_kernels_are_partly_small():
    plain = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
    mixed = HetConv2d(plain)
    dense, small = torch.zeros(16, 8, 3, 3), mixed.pointwise.weight[:, :, 0, 0]
    for number, kernels in enumerate(mixed.spatial.weight.detach()):
        first = number * PARTS // 16 * 8 // PARTS
        dense[number, first : first + 8 // PARTS] = kernels
    assert ((dense.abs().sum((2, 3)) > 0).sum(1) == 8 // PARTS).all()
    dense[:, :, 1, 1] += small.detach()
    x = torch.randn(2, 8, 9, 9)
    torch.testing.assert_close(mixed(x), nn.functional.conv2d(x, dense, stride=2, padding=1), rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in mixed.parameters()) < plain.weight.numel() / 2


def test_a_self_calibrated_convolution_is_what_the_paper_says():
    module = SelfCalibrated(4).eval()
    x = torch.randn(1, 4, 8, 8)
    pooled = x.view(1, 4, 2, 4, 2, 4).mean((3, 5))
    wide = module.calibrate(pooled).repeat_interleave(4, 2).repeat_interleave(4, 3)
    expected = module.combine(module.look(x) * torch.sigmoid(x + wide))
    torch.testing.assert_close(module(x), expected)


def test_scnet_has_the_parameters_of_the_paper():
    """25.6 million with the classifier of 2,049,000."""
    backbone, _ = build_backbone(settings("own:scnet50", batch_norm="synchronised"), frozen_stages=0)
    assert abs(sum(p.numel() for p in backbone.body.parameters()) + 2_049_000 - 25.6e6) < 0.1e6


def test_a_squeezenet_of_ours_is_torchvisions_inside():
    """Its first convolution is padded; what lies away from the edges is what torchvision computes."""
    torch.manual_seed(0)
    body = LightBody("squeezenet1_1", None).eval()
    x = torch.randn(1, 3, 256, 256)
    fine, coarse, halved = body(x)
    assert [level.shape[-1] for level in (fine, coarse, halved)] == [32, 16, 8]
    inner = body.layers["0"](x)[..., 1:-1, 1:-1]
    unpadded = nn.functional.conv2d(x[..., 1:, 1:], body.layers["0"].weight, body.layers["0"].bias, stride=2)
    torch.testing.assert_close(inner, unpadded[..., : inner.shape[-2], : inner.shape[-1]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(halved[0, :, 1, 1], coarse[0, :, 1:4, 1:4].amax((1, 2)))


def test_no_family_is_imported_before_it_is_chosen():
    code = (
        "import sys, pipeline.detector.models.backbones;"
        "print([name for name in sys.modules if '.bodies.' in name and 'family' in name])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
