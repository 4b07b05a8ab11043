from __future__ import annotations

import pytest
import torch

from pipeline.detector.inference.onnx_engine import export_onnx
from pipeline.detector.models.pruning import MULTIPLE, prune
from tests.detector.small import detector, noise

PRUNABLE = ["test_efficientnet", "test_resnet", "resnet18", "mobilenetv2_035"]


def pyramid(model, images):
    with torch.no_grad():
        return model.network.backbone(model.network.transform(images)[0].tensors)


def size(model):
    return sum(p.numel() for p in model.body.parameters())


@pytest.mark.parametrize("name", PRUNABLE)
def test_a_pruned_body_is_smaller_and_works(name):
    model = detector(backbone=name).eval()
    before, shapes = size(model), [level.shape for level in pyramid(model, noise(1)).values()]
    assert prune(model, 0.5, [noise(2)]) > 0
    assert size(model) < 0.9 * before
    assert [level.shape for level in pyramid(model, noise(1)).values()] == shapes
    assert len(model(noise(1))) == 1


def test_channels_that_say_nothing_cost_nothing():
    """Where the removed channels were constant, the rest says what it said: their mean stays in the bias."""
    torch.manual_seed(0)
    model, images = detector(backbone="resnet18").eval(), noise(2)
    for block in (block for stage in range(1, 5) for block in getattr(model.body, f"layer{stage}")):
        half = block.conv1.out_channels // 2
        with torch.no_grad():
            block.conv1.weight[half:] = 0
            block.conv1.bias[half:] = 0.5
            middle = block.conv2.weight[:, half:, 1, 1].clone()
            block.conv2.weight[:, half:] = 0  # beyond the edges of a map lies another constant
            block.conv2.weight[:, half:, 1, 1] = middle
    before = pyramid(model, images)
    assert prune(model, 0.5, [images]) == 2 * (32 + 64 + 128 + 256)
    for name, level in pyramid(model, images).items():
        torch.testing.assert_close(level, before[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_what_stays_comes_in_eights(share):
    model = detector(backbone="mobilenetv2_035").eval()
    prune(model, share, [noise(1)])
    inner = [block.conv_dw for stage in model.body.blocks[1:] for block in stage if hasattr(block, "conv_pwl")]
    assert all(layer.out_channels % MULTIPLE == 0 and layer.out_channels >= MULTIPLE for layer in inner)
    assert all(layer.groups == layer.in_channels == layer.weight.shape[0] for layer in inner)


def test_a_pruned_detector_is_exported():
    pytest.importorskip("onnxruntime")
    whole, pruned = detector().eval(), detector().eval()
    prune(pruned, 0.5, [noise(1)])
    assert len(export_onnx(pruned)) < len(export_onnx(whole))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "convnext_atto"}, "got 'convnext_atto' with 'frozen'"),
        ({"batch_norm": "group"}, "got 'test_efficientnet' with 'group'"),
    ],
)
def test_bodies_that_cannot_be_pruned(values, message):
    with pytest.raises(ValueError, match=message):
        prune(detector(**values).eval(), 0.5, [noise(1)])


def test_without_images_nothing_is_pruned():
    with pytest.raises(ValueError, match="Expected labelled images to measure the backbone on"):
        prune(detector().eval(), 0.5, [])
