"""Switchable normalisation (arXiv 1806.10779): a layer learns how far it goes by instance, layer and batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SwitchableNorm(_BatchNorm):
    """Normalises Tensor[B, C, H, W]; equations 2 to 5 of the paper.

    Args:
        norm: The batch normalisation whose scales, shifts and statistics it begins with.

    Attributes:
        mean_weight: Tensor[3], of instance, layer and batch before the softmax; `var_weight` likewise.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.mean_weight = nn.Parameter(torch.ones(3))
        self.var_weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; batches are followed while it trains."""
        with torch.autocast(x.device.type, enabled=False):
            values = x.float()
            var, mean = torch.var_mean(values, (2, 3), correction=0)
            means, variances = zip((mean, var), _over(mean, var, 1), self._of_batch(mean, var), strict=True)
            mean = _weighted(self.mean_weight, means)
            var = _weighted(self.var_weight, variances)
            scale = self.weight * (var + self.eps).rsqrt()
            shift = self.bias - mean * scale
            return (values * scale[..., None, None] + shift[..., None, None]).to(x.dtype)

    def _of_batch(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        assert self.running_mean is not None
        assert self.running_var is not None
        if not self.training:
            return self.running_mean[None], self.running_var[None]
        of_batch = _over(mean, var, 0)
        self._follow(*of_batch)
        return of_batch

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """As torch's batch normalisation: a moving average, or the mean of all batches where `momentum` is None."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean[0], share)  # type: ignore[union-attr]
        self.running_var.lerp_(var[0], share)  # type: ignore[union-attr]

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Part of torch's interface; any map serves."""


def _over(mean: Tensor, var: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean and variance over a dimension more, from those of each channel of each image."""
    wider = mean.mean(dim, keepdim=True)
    return wider, (var + mean.square()).mean(dim, keepdim=True) - wider.square()


def _weighted(weights: Tensor, values: tuple[Tensor, ...]) -> Tensor:
    shares = weights.softmax(0)
    return values[0] * shares[0] + values[1] * shares[1] + values[2] * shares[2]
