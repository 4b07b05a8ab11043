"""Pointwise convolutions of a trained body turned into group convolutions, for an export that is smaller.

The channels are put in order, convolved group by group, and put back (arXiv 2002.08127, section 3.1). What the weights
outside the groups added on average is kept in the bias, as in `pruning.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.detector.models.channel_groups import ChannelGroups, dropped_share, find_groups, pointwise_convolutions
from pipeline.detector.models.detector import Detector
from pipeline.detector.models.pruning import mean_inputs


class Grouping(NamedTuple):
    """What became of the pointwise convolutions of a body.

    Attributes:
        grouped: How many are group convolutions now.
        dense: How many would have lost more than they may.
    """

    grouped: int
    dense: int


class GroupedPointwise(nn.Module):
    """A pointwise convolution of which each output reads the inputs of its own group.

    Args:
        layer: What it computes, but for the weights outside the groups.
        groups: Of its channels.
        count: N.
        mean: Tensor[I], the inputs on average.
    """

    def __init__(self, layer: nn.Conv2d, groups: ChannelGroups, count: int, mean: Tensor) -> None:
        super().__init__()
        outputs, inputs = (side.argsort(stable=True) for side in groups)
        outside = layer.weight[:, :, 0, 0] * (groups.outputs[:, None] != groups.inputs)
        bias = outside @ mean + (0 if layer.bias is None else layer.bias)
        rows, columns = outputs.chunk(count), inputs.chunk(count)
        within = torch.cat([layer.weight[o][:, i] for o, i in zip(rows, columns, strict=True)])
        stride: Any = layer.stride
        self.convolution = nn.Conv2d(layer.in_channels, layer.out_channels, 1, stride, groups=count)
        self.convolution.weight = nn.Parameter(within)
        self.convolution.bias = nn.Parameter(bias[outputs])
        self.register_buffer("inputs", inputs)
        self.register_buffer("back", outputs.argsort())

    def forward(self, x: Tensor) -> Tensor:
        """Convolve Tensor[B, I, H, W]."""
        buffers: Any = self
        convolved: Tensor = self.convolution(x.index_select(1, buffers.inputs)).index_select(1, buffers.back)
        return convolved


@torch.no_grad()
def group(detector: Detector, count: int, most_dropped: float, labelled: Iterable[Tensor]) -> Grouping:
    """Turn pointwise convolutions of a detector's body into group convolutions, in place.

    Args:
        detector: On the CPU, in evaluation mode; it can no longer be saved as a model.
        count: Groups, 2 or more.
        most_dropped: Share of the squared norm of a layer's weights that may lie outside the groups, 0 to 1; a layer
            of which more does stays as it is.
        labelled: Batches, Tensor[B, 3, H, W] uint8, on which the average of what goes is measured.

    Raises:
        ValueError: The body has no such convolution, or no images were given.
    """
    layers = pointwise_convolutions(detector.body, count)
    if not layers:
        raise ValueError(
            f"Expected a body with pointwise convolutions whose channels {count} groups share evenly, "
            f"got {detector.settings.backbone!r}"
        )
    means = mean_inputs(detector, list(layers.values()), labelled)
    grouped = 0
    for name, layer in layers.items():
        weight = layer.weight[:, :, 0, 0]
        groups = find_groups(weight, count)
        if dropped_share(weight, groups, count) <= most_dropped:
            detector.body.set_submodule(name, GroupedPointwise(layer, groups, count, means[layer]))
            grouped += 1
    return Grouping(grouped, len(layers) - grouped)
