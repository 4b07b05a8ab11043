"""Depthwise convolutions in half precision on CPUs: the results of torch's, gradients of full precision."""

import copy

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from pipeline.detector.models.depthwise import DepthwiseConv2d, DepthwiseConv2dSame, freeze_depthwise, use_depthwise
from tests.detector.small import detector, training

LAYERS = {
    "plain": lambda: nn.Conv2d(8, 8, 5, padding=2, groups=8),
    "without bias": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
    "strided": lambda: nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
    "dilated, two filters a channel": lambda: nn.Conv2d(8, 16, 3, padding=2, dilation=2, groups=8),
    "as TensorFlow pads": lambda: Conv2dSame(8, 8, 5, stride=2, groups=8),
}


def both(name: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    theirs = LAYERS[name]()
    ours = nn.Sequential(copy.deepcopy(theirs))
    use_depthwise(ours)
    assert isinstance(ours[0], (DepthwiseConv2d, DepthwiseConv2dSame))
    return ours[0], theirs


def gradients(layer: nn.Module, x: torch.Tensor, half: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        out = layer(x)
    wanted = [x, *layer.parameters()]
    weights = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    return out, list(torch.autograd.grad((out.float() * weights).sum(), wanted))


@pytest.mark.parametrize("name", LAYERS)
def test_full_precision_is_torchs_own_bit_for_bit(name: str) -> None:
    ours, theirs = both(name)
    x = torch.randn(2, 8, 13, 10)
    got, expected = gradients(ours, x, half=False), gradients(theirs, x, half=False)
    assert torch.equal(got[0], expected[0])
    assert all(torch.equal(*pair) for pair in zip(got[1], expected[1], strict=True))


@pytest.mark.parametrize("name", LAYERS)
def test_half_precision_answers_as_torch_does_and_has_gradients_near_those_of_full_precision(name: str) -> None:
    ours, theirs = both(name)
    x = torch.randn(2, 8, 13, 10).to(memory_format=torch.channels_last)
    out, found = gradients(ours, x, half=True)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, gradients(theirs, x, half=True)[0])
    for got, full in zip(found, gradients(theirs, x, half=False)[1], strict=True):
        assert got.dtype == torch.float32
        assert (got - full).norm() < 0.01 * full.norm()


def test_what_does_not_learn_gets_no_gradient() -> None:
    ours, _ = both("plain")
    ours.requires_grad_(False)
    x = torch.randn(1, 8, 6, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in ours.parameters())


def test_other_convolutions_and_names_of_weights_stay() -> None:
    body = nn.Sequential(
        nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8, padding="same"),
        nn.Conv2d(8, 8, 3, groups=8, padding=1, padding_mode="reflect"), nn.Conv2d(8, 8, 3, groups=8),
    )  # fmt: skip
    names = list(body.state_dict())
    use_depthwise(body)
    assert [type(layer) for layer in body] == [nn.Conv2d] * 4 + [DepthwiseConv2d]
    assert list(body.state_dict()) == names
    assert type(copy.deepcopy(body)[4]) is DepthwiseConv2d


FIXED = {
    **LAYERS,
    "as TensorFlow pads, not strided": lambda: Conv2dSame(8, 8, 3, groups=8),
    "as TensorFlow pads, small kernel": lambda: Conv2dSame(8, 8, 3, stride=2, groups=8),
}


@pytest.mark.parametrize("size", [(13, 10), (16, 12)], ids=["odd", "even"])
@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_kernel_answers_and_teaches_what_lies_below_as_torchs_does(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    theirs = FIXED[name]()
    ours = nn.Sequential(copy.deepcopy(theirs))
    use_depthwise(ours)
    freeze_depthwise(ours)
    x = torch.randn(2, 8, *size)
    told = []
    for layer in (ours, theirs):
        below = x.clone().requires_grad_()
        out = layer(below)
        (out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum().backward()
        told.append((out, below.grad))
    for mine, expected in zip(*told, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)
    assert ours[0].weight.grad is None
    if theirs.bias is not None:
        torch.testing.assert_close(ours[0].bias.grad, theirs.bias.grad, rtol=1e-5, atol=1e-4)


def test_only_depthwise_kernels_are_fixed() -> None:
    body = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8))
    freeze_depthwise(body)
    assert [layer.weight.requires_grad for layer in body] == [True, True, False]
    assert all(layer.bias.requires_grad for layer in body)


@pytest.mark.parametrize("fixed", [True, False])
def test_the_setting_fixes_them_in_a_detector(fixed: bool) -> None:
    model = detector(settings=training(frozen_depthwise=fixed))
    kernels = [
        layer.weight
        for layer in model.body.modules()
        if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
    ]
    assert kernels
    assert all(kernel.requires_grad != fixed for kernel in kernels)
