"""Strip pooling (arXiv 2003.13328): context along rows and columns, for long and thin objects."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

POOLED_LEVELS = ("0", "1", "2")
"""The levels above are coarse enough to see whole objects anyway."""


class StripPooling(nn.Module):
    """The strip pooling module, section 3.1: a map is scaled by what its rows and columns hold.

    Args:
        channels: Of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.along_rows = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
        self.along_columns = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))
        self.fuse = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Equations 1 to 4 for Tensor[B, C, H, W]; the result has that shape."""
        rows = self.along_rows(x.mean(3, keepdim=True))
        columns = self.along_columns(x.mean(2, keepdim=True))
        scaled: Tensor = x * self.fuse((rows + columns).relu()).sigmoid()
        return scaled


class StripPooledPyramid(nn.Module):
    """A feature pyramid whose finer levels are strip-pooled.

    Args:
        fpn: The pyramid.
        channels: Of its levels.
    """

    def __init__(self, fpn: nn.Module, channels: int) -> None:
        super().__init__()
        self.fpn = fpn
        self.strips = nn.ModuleDict({name: StripPooling(channels) for name in POOLED_LEVELS})

    def forward(self, maps: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
        """Levels by name, as of the pyramid."""
        levels: OrderedDict[str, Tensor] = self.fpn(maps)
        strips = self.strips
        return OrderedDict((name, strips[name](x) if name in strips else x) for name, x in levels.items())
