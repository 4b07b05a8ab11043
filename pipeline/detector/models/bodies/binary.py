"""A binary ResNet: the body of BiDet (CVPR 2020, arXiv 2003.03961), whose 3 x 3 convolutions see and hold signs.

Its convolutions are XNOR-Net's (arXiv 1603.05279), its blocks those of Bi-Real Net (arXiv 1808.00278): without ReLUs,
after which every sign would be the same, and with a way around each convolution that keeps real values. As there, the
stem and the 1 x 1 convolutions on the way around stay real. BiDet also binarises layers between body and head, which
stay real here, and takes Bi-Real Net's piecewise gradient of activations where this has XNOR-Net's.

Weights are trained and saved as real numbers, and torch computes signs as floats: this is neither smaller nor faster.
A runtime with binary kernels would need a thirty-second of the weights of these convolutions.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models import FeatureListNet
from timm.models.resnet import ResNet
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LAYERS = {"binary_resnet18": (2, 2, 2, 2)}


def binarise(x: Tensor) -> Tensor:
    """Signs, Tensor[...] of 1 and -1, 0 counting as positive.

    Their gradient is that of `x` held within -1 and 1: straight through, and 0 outside.
    """
    signs: Tensor = _Sign.apply(x)
    return signs


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        passed: Tensor = gradient * (x.abs() <= 1)
        return passed


class BinaryConv2d(nn.Conv2d):
    """A convolution of signs with signs, each filter times the mean of its absolute weights.

    Edges are padded with -1, since 0 would be a third value. A factor on the real weights of a filter is one on its
    outputs, of either sign; so batch normalisation folds into it as into any other, unless a weight is exactly 0.
    Rounding may turn the sign of a value next to 0, so that precisions differ more than those of other bodies.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve Tensor[B, C, H, W]."""
        padded = F.pad(binarise(x), self._reversed_padding_repeated_twice, value=-1.0)
        return F.conv2d(padded, self.binary_weight(), self.bias, self.stride, 0, self.dilation, self.groups)

    def binary_weight(self) -> Tensor:
        """Tensor[C_out, C_in, 3, 3] of two values per filter; both factors have a gradient, as in XNOR-Net."""
        return binarise(self.weight) * self.weight.abs().mean((1, 2, 3), keepdim=True)


class BinaryBlock(nn.Module):
    """A basic block of Bi-Real Net: two binary convolutions, each normalised and added to what came in.

    Args:
        inplanes: Channels of the input.
        planes: Of the output.
        stride: Of the block.
        downsample: Of the way around the first convolution, or None.
        options: What timm tells every block; of this, dilations and drop path are heard.
    """

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None, **options: Any) -> None:
        super().__init__()
        self.conv1 = _convolution(inplanes, planes, stride, options["first_dilation"])
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _convolution(planes, planes, 1, options["dilation"])
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample or nn.Identity()
        self.drop_path = options["drop_path"] or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Tensor[B, inplanes, H, W] to Tensor[B, planes, H / stride, W / stride], of either sign."""
        x = self.drop_path(self.bn1(self.conv1(x))) + self.downsample(x)
        out: Tensor = self.drop_path(self.bn2(self.conv2(x))) + x
        return out


def create(name: str, output_stride: int, drop_path: float) -> FeatureListNet:
    """Make the body; where it halves, the way around is a mean of 2 x 2 and a 1 x 1 convolution."""
    network = ResNet(
        BinaryBlock,  # type: ignore[arg-type]  # timm names its own two blocks
        LAYERS[name],
        output_stride=output_stride,
        avg_down=True,
        act_layer=nn.Identity,
        drop_path_rate=drop_path,
    )
    return FeatureListNet(network, out_indices=(2, 3, 4), flatten_sequential=False)


def _convolution(channels: int, out_channels: int, stride: int, dilation: int) -> BinaryConv2d:
    return BinaryConv2d(channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False)
