"""HetConv (arXiv 1903.04120): filters with 3 x 3 kernels on a part of the channels and 1 x 1 kernels on the rest."""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor, nn

PARTS = 4
"""P of the paper: each filter has 3 x 3 kernels on one part of so many."""


class HetConv2d(nn.Module):
    """A heterogeneous convolution.

    Filters of one part share their 3 x 3 channels, which makes those a grouped convolution; the parts take turns, as
    the paper's shifted filters do. The 1 x 1 convolution also covers these channels, where it adds to the middle of
    their kernels and so changes nothing of what can be expressed.

    Args:
        convolution: The one that it stands for; 3 x 3, with channels that `PARTS` divides.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        before, channels, stride = convolution.in_channels, convolution.out_channels, convolution.stride
        where: Any = {"stride": stride, "bias": False}
        padded: Any = {"padding": convolution.padding, "dilation": convolution.dilation}
        self.spatial = nn.Conv2d(before, channels, 3, groups=PARTS, **padded, **where)
        self.pointwise = nn.Conv2d(before, channels, 1, **where)

    def forward(self, x: Tensor) -> Tensor:
        """As of the convolution that it stands for."""
        summed: Tensor = self.spatial(x) + self.pointwise(x)
        return summed


def create(name: str, output_stride: int, drop_path: float) -> Any:
    """Make timm's ResNet of a name such as `hetconv_resnet18`, its 3 x 3 convolutions replaced."""
    body: Any = timm.create_model(
        name.removeprefix("hetconv_"),
        features_only=True,
        out_indices=(2, 3, 4),
        output_stride=output_stride,
        drop_path_rate=drop_path,
    )
    for key, layer in list(body.named_modules()):
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            body.set_submodule(key, HetConv2d(layer))
    return body
