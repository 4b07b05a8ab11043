"""Depthwise convolutions in half precision on CPUs: the results of torch's, gradients of full precision."""

import copy

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from pipeline.detector.models.depthwise import DepthwiseConv2d, DepthwiseConv2dSame, use_depthwise

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
