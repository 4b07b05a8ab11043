"""ShuffleNet v1 (arXiv 1707.01083) with three groups: grouped 1 x 1 convolutions whose channels are shuffled."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models import FeatureListNet
from torch import Tensor, nn

GROUPS = 3
REPEATS = (4, 8, 4)
CHANNELS = {"shufflenet_v1_x0_5": (12, 120, 240, 480), "shufflenet_v1_x1_0": (24, 240, 480, 960)}
"""Of the stem and stages 2 to 4, table 1 of the paper."""


def create(name: str, output_stride: int, drop_path: float) -> FeatureListNet:
    """Make the body.

    Raises:
        ValueError: It is to be dilated, which the paper does not have. Its paths are found to be none later.
    """
    del drop_path
    if output_stride < 32:
        raise ValueError(
            f"detector.output_stride expects a backbone that can be dilated, {name!r} cannot. Set it to 32"
        )
    return FeatureListNet(ShuffleNet(CHANNELS[name]), out_indices=(1, 2, 3), flatten_sequential=False)


class ShuffleNet(nn.Module):
    """The network without its classifier.

    Args:
        channels: Of the stem and the three stages.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        before, *widths = channels
        self.conv1 = nn.Conv2d(3, before, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.feature_info = [{"num_chs": before, "reduction": 4, "module": "maxpool"}]
        for number, (width, repeats) in enumerate(zip(widths, REPEATS, strict=True), start=2):
            units = [ShuffleUnit(before, width, stride=2, grouped=number > 2)]
            units += [ShuffleUnit(width, width) for _ in range(repeats - 1)]
            self.add_module(f"stage{number}", nn.Sequential(*units))
            self.feature_info.append({"num_chs": width, "reduction": 2 ** (number + 1), "module": f"stage{number}"})
            before = width

    def forward(self, x: Tensor) -> Tensor:
        """The last map of Tensor[B, 3, H, W]."""
        return nn.Sequential(*self.children())(x)  # type: ignore[no-any-return]


class ShuffleUnit(nn.Module):
    """Figure 2 of the paper, b and c.

    Args:
        before: Channels of the input.
        channels: Of the output.
        stride: 2 halves the map, and the input is appended in place of added.
        grouped: Whether the first convolution is; the paper's first is not, since its input has few channels.
    """

    def __init__(self, before: int, channels: int, stride: int = 1, grouped: bool = True) -> None:
        super().__init__()
        self.stride = stride
        narrow, added = channels // 4, channels - before if stride == 2 else channels
        self.reduce = nn.Conv2d(before, narrow, 1, groups=GROUPS if grouped else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.depthwise = nn.Conv2d(narrow, narrow, 3, stride, padding=1, groups=narrow, bias=False)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.expand = nn.Conv2d(narrow, added, 1, groups=GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(added)

    def forward(self, x: Tensor) -> Tensor:
        """Tensor[B, before, H, W] to Tensor[B, channels, H / stride, W / stride]."""
        narrow = shuffle(self.bn1(self.reduce(x)).relu(), GROUPS)
        inner: Tensor = self.bn3(self.expand(self.bn2(self.depthwise(narrow))))
        if self.stride == 1:
            return (x + inner).relu()
        return torch.cat([F.avg_pool2d(x, 3, 2, padding=1), inner], 1).relu()


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Deal the channels of Tensor[B, C, H, W] out, so that each group gets some of every group before."""
    batch, channels, height, width = x.shape
    grouped = x.view(batch, groups, channels // groups, height, width)
    return grouped.transpose(1, 2).reshape(x.shape)
