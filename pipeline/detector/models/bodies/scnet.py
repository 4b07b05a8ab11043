"""SCNet: self-calibrated convolutions (Liu et al., CVPR 2020), which see a wider neighbourhood at little cost."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models import FeatureListNet
from timm.models.resnet import ResNet
from torch import Tensor, nn

POOLED = 4
"""The calibrating path looks at a map that is so many times smaller; r of the paper."""
LAYERS = {"scnet26": (2, 2, 2, 2), "scnet50": (3, 4, 6, 3)}


class SelfCalibrated(nn.Module):
    """Equations 3 to 5 of the paper.

    Args:
        channels: Of input and output.
        stride: Of the last convolution.
        dilation: Of all three.
    """

    def __init__(self, channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        # Rounded up, so that a map smaller than the window has a mean as well.
        self.pool = nn.AvgPool2d(POOLED, ceil_mode=True)
        self.calibrate = _convolution(channels, 1, dilation)
        self.look = _convolution(channels, 1, dilation)
        self.combine = _convolution(channels, stride, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Tensor[B, C, H, W] to Tensor[B, C, H / stride, W / stride]."""
        wide = F.interpolate(self.calibrate(self.pool(x)), x.shape[-2:])
        combined: Tensor = self.combine(self.look(x) * (x + wide).sigmoid())
        return combined


class SelfCalibratedBottleneck(nn.Module):
    """A bottleneck of a ResNet, of which one half convolves and the other calibrates itself.

    Args:
        inplanes: Channels of the input.
        planes: A quarter of those of the output.
        stride: Of the block.
        downsample: Of the way around it, or None.
        options: What timm tells every block; of this, dilation and drop path are heard.
    """

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None, **options: Any) -> None:
        super().__init__()
        half, dilation = planes // 2, options["dilation"]
        self.reduce_a, self.bn_a = nn.Conv2d(inplanes, half, 1, bias=False), nn.BatchNorm2d(half)
        self.reduce_b, self.bn_b = nn.Conv2d(inplanes, half, 1, bias=False), nn.BatchNorm2d(half)
        self.plain = _convolution(half, stride, dilation)
        self.calibrated = SelfCalibrated(half, stride, dilation)
        self.expand = nn.Conv2d(2 * half, planes * self.expansion, 1, bias=False)
        self.bn = nn.BatchNorm2d(planes * self.expansion)
        self.downsample = downsample or nn.Identity()
        self.drop_path = options["drop_path"] or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Tensor[B, inplanes, H, W] to Tensor[B, 4 planes, H / stride, W / stride]."""
        plain = self.plain(self.bn_a(self.reduce_a(x)).relu()).relu()
        calibrated = self.calibrated(self.bn_b(self.reduce_b(x)).relu()).relu()
        inner = self.bn(self.expand(torch.cat([plain, calibrated], 1)))
        outer: Tensor = (self.drop_path(inner) + self.downsample(x)).relu()
        return outer


def create(name: str, output_stride: int, drop_path: float) -> FeatureListNet:
    """Make the body."""
    network = ResNet(
        SelfCalibratedBottleneck,  # type: ignore[arg-type]  # timm names its own two blocks
        LAYERS[name],
        output_stride=output_stride,
        drop_path_rate=drop_path,
    )
    return FeatureListNet(network, out_indices=(2, 3, 4), flatten_sequential=False)


def _convolution(channels: int, stride: int, dilation: int) -> nn.Sequential:
    layer = nn.Conv2d(channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels))
