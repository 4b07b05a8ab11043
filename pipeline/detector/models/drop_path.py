"""Paths of a body that are left out at random while it learns, the more of them the further the run is.

Stochastic depth (arXiv 1603.09382) for residual branches, later ones dropped more often; scheduled drop path (NASNet,
arXiv 1707.07012) for the cells of NASNet and PNASNet. In both the probability rises linearly from 0 over the run.
"""

from __future__ import annotations

import re
from typing import Any

from timm.layers import DropPath, drop_path  # type: ignore[attr-defined]
from torch import Tensor, nn

_CELL_PATH = re.compile(r"comb_iter_\d_(left|right)$")
"""What timm calls the paths of the cells of NASNet and PNASNet."""


class ScheduledDropPath(nn.Module):
    """Leaves a path of an image out, and scales those that stay up; identity outside training.

    Args:
        final: Probability at the end of a run.

    Attributes:
        progress: Share of the run that is over, 0 to 1.
    """

    def __init__(self, final: float) -> None:
        super().__init__()
        self.final = final
        self.progress = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Tensor[B, ...]; some of the B are 0."""
        kept: Tensor = drop_path(x, self.final * self.progress, self.training)
        return kept


def schedule_drop_path(body: nn.Module, final: float, name: str) -> None:
    """Let the paths of a body be dropped on a schedule, in place.

    Args:
        body: A timm body built with that `drop_path_rate`, or one made of cells.
        final: Probability at the end of a run; above 0.
        name: Of the backbone.

    Raises:
        ValueError: It has no paths that can be dropped.
    """
    modules = list(body.named_modules())
    for key, module in modules:
        if isinstance(module, DropPath):
            body.set_submodule(key, ScheduledDropPath(module.drop_prob))
        elif _CELL_PATH.search(key):
            body.set_submodule(key, nn.Sequential(module, ScheduledDropPath(final)))
    if not any(isinstance(module, ScheduledDropPath) for module in body.modules()):
        raise ValueError(
            f"detector.drop_path expects a backbone with paths to drop, such as a ResNet, EfficientNet or NASNet; "
            f"{name!r} has none. Set it to 0"
        )


def set_progress(module: Any, progress: float) -> None:
    """Tell every scheduled drop path which share of the run is over, 0 to 1."""
    for each in module.modules():
        if isinstance(each, ScheduledDropPath):
            each.progress = progress
