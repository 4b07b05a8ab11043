"""The feature pyramid over a body."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7


class TopLevels(LastLevelP6P7):  # type: ignore[misc]
    """P6 and P7 of the pyramid, always in float32.

    On CPUs the bfloat16 gradient of a strided convolution over a single column, which P6 of a narrow image is,
    comes back as memory that nobody has written.
    """

    def forward(self, p: list[Tensor], c: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        """Add the two levels; as torchvision's."""
        with torch.autocast(p[-1].device.type, enabled=False):
            levels: tuple[list[Tensor], list[str]] = super().forward(
                [level.float() for level in p], [level.float() for level in c], names
            )
        return levels


class PyramidBackbone(nn.Module):
    """Feature maps at strides 8, 16 and 32, a feature pyramid (arXiv 1612.03144), and P6 and P7 on top.

    Args:
        body: Gives a list of three maps.
        channels: Channels of the body's maps.
        out_channels: Channels of every pyramid level.
    """

    def __init__(self, body: nn.Module, channels: list[int], out_channels: int) -> None:
        super().__init__()
        self.body = body
        self.fpn: nn.Module = FeaturePyramidNetwork(
            channels, out_channels, extra_blocks=TopLevels(out_channels, out_channels)
        )
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Compute the pyramid.

        Args:
            images (Tensor[B, 3, H, W]): normalised.

        Returns:
            Levels `0, 1, 2, p6, p7` at strides 8 to 128, each Tensor[B, out_channels, ...].
        """
        levels: OrderedDict[str, Tensor] = self.fpn(OrderedDict((str(i), x) for i, x in enumerate(self.body(images))))
        return levels
