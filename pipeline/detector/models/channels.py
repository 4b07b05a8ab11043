"""Channels inside a block, which nothing but the next convolution reads: what they are worth, and keeping some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


def channel_worth(first: nn.Conv2d, last: nn.Conv2d) -> Tensor:
    """Size of the weights that make and read each channel between two convolutions, Tensor[C]; higher = worth more."""
    worth: Tensor = first.weight.flatten(1).norm(dim=1) * last.weight.transpose(0, 1).flatten(1).norm(dim=1)
    return worth


def keep_channels(first: Any, between: Sequence[Any], last: Any, kept: Tensor) -> None:
    """Take the other channels out of a chain of convolutions, in place.

    Args:
        first: Makes the channels.
        between: Depthwise convolutions.
        last: Reads them.
        kept: Numbers of those that stay, ascending.
    """
    _keep_outputs(first, kept)
    for layer in between:
        _keep_outputs(layer, kept)
        layer.in_channels = layer.groups = len(kept)
    last.weight = _like(last.weight, last.weight[:, kept])
    last.in_channels = len(kept)


def _keep_outputs(layer: Any, kept: Tensor) -> None:
    layer.weight = _like(layer.weight, layer.weight[kept])
    layer.bias = _like(layer.bias, layer.bias[kept])
    layer.out_channels = len(kept)


def _like(old: Tensor, values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().contiguous(), requires_grad=old.requires_grad)
