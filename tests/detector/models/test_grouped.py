from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.detector.inference.onnx_engine import export_onnx
from pipeline.detector.models.channel_groups import find_groups, pointwise_convolutions
from pipeline.detector.models.grouped import GroupedPointwise, group
from tests.detector.models.test_channel_groups import drawn, shuffled_blocks
from tests.detector.small import detector, noise


def pyramid(model, images):
    with torch.no_grad():
        return model.network.backbone(model.network.transform(images)[0].tensors)


def without_the_rest(model, count):
    """A detector whose pointwise convolutions have nothing outside the groups that are found."""
    for layer in pointwise_convolutions(model.body, count).values():
        groups = find_groups(layer.weight[:, :, 0, 0], count)
        with torch.no_grad():
            layer.weight *= (groups.outputs[:, None] == groups.inputs)[:, :, None, None]
    return model


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize(("stride", "bias"), [(1, True), (2, False)])
def test_blocks_after_a_permutation_are_grouped_without_any_change(count, stride, bias):
    layer = nn.Conv2d(count * 3, count * 5, 1, stride=stride, bias=bias)
    layer.weight = nn.Parameter(shuffled_blocks(count, 5, 3)[:, :, None, None])
    groups, image = find_groups(layer.weight[:, :, 0, 0], count), drawn(2, count * 3, 7, 6)
    grouped = GroupedPointwise(layer, groups, count, torch.ones(count * 3))
    torch.testing.assert_close(grouped(image), layer(image), rtol=1e-6, atol=1e-6)
    assert grouped.convolution.weight.numel() * count == layer.weight.numel()


def test_what_goes_is_kept_on_average():
    """Where the inputs are constant, dropping what lies outside the groups changes nothing."""
    layer, mean = nn.Conv2d(4, 6, 1), drawn(4)
    image = mean[None, :, None, None].expand(1, 4, 3, 3)
    grouped = GroupedPointwise(layer, find_groups(layer.weight[:, :, 0, 0], 2), 2, mean)
    torch.testing.assert_close(grouped(image), layer(image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "values", [{}, {"backbone": "resnet50"}, {"batch_norm": "group"}, {"backbone": "mobilenetv3_small_050"}]
)
def test_a_detector_with_groups_answers_the_same_and_is_smaller(values):
    model = without_the_rest(detector(**values).eval(), 2)
    before, size = pyramid(model, noise(2)), sum(p.numel() for p in model.body.parameters())
    count = len(pointwise_convolutions(model.body, 2))
    assert group(model, 2, 1e-9, [noise(2)]) == (count, 0)
    for name, level in pyramid(model, noise(2)).items():
        torch.testing.assert_close(level, before[name], rtol=1e-4, atol=1e-4 * float(before[name].abs().max()))
    assert sum(p.numel() for p in model.body.parameters()) < size


def test_a_grouped_detector_is_exported():
    pytest.importorskip("onnxruntime")
    whole, grouped = detector().eval(), detector().eval()
    assert group(grouped, 2, 1.0, [noise(1)]).grouped > 0
    assert len(export_onnx(grouped)) < len(export_onnx(whole))  # which compares ONNX Runtime to torch


def test_layers_that_would_lose_too_much_stay_dense():
    model = detector().eval()
    names = list(pointwise_convolutions(model.body, 2))
    assert group(model, 2, 0.0, [noise(1)]) == (0, len(names))
    assert list(pointwise_convolutions(model.body, 2)) == names


def test_bodies_without_pointwise_convolutions_are_refused():
    with pytest.raises(ValueError, match="whose channels 7 groups share evenly, got 'test_efficientnet'"):
        group(detector().eval(), 7, 0.1, [noise(1)])


def test_without_images_nothing_is_grouped():
    with pytest.raises(ValueError, match="Expected labelled images"):
        group(detector().eval(), 2, 0.1, [])
