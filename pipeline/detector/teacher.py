"""An average of the weights over the steps, which is what is kept of a run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def build_teacher(model: nn.Module, decay: float) -> AveragedModel:
    """Make an exponential moving average of a model (the teacher of arXiv 1703.01780).

    Args:
        model: The model that learns.
        decay: Share of the old average that stays each step. Early on it is `(1 + n) / (10 + n)` after n updates
            where that is lower, so that a short run forgets where it began.

    Returns:
        The average; call `update_parameters(model)` after each step.
    """

    def average(old: Sequence[Tensor], new: Sequence[Tensor], updates: Tensor | int) -> None:
        count = int(updates)
        kept = min(decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(list(old), list(new), 1 - kept)

    return AveragedModel(model, multi_avg_fn=average)
