"""Moving-average batch normalisation (MABN, arXiv 2001.06838): batch normalisation for batches of one or two images.

Each map is divided by the root of its mean square, of the last `BATCHES` batches in place of one, and its gradient is
corrected likewise; the mean, which is not subtracted, is kept small by centred kernels in the convolution before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BATCHES = 16
"""Whose statistics are averaged; m of the paper."""
MOMENTUM = 0.98
"""Of the average that inference uses."""
WARM_UP = 100
"""Steps before the correction towards that average, and of a plain mean of all batches."""
LARGEST_CORRECTION = 5.0


class MovingAverageNorm(nn.Module):
    """Normalises Tensor[B, C, H, W].

    Args:
        norm: The batch normalisation whose scales and shifts it begins with.
    """

    steps: Tensor
    running_square: Tensor
    squares: Tensor
    gradients: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        channels = norm.num_features
        self.eps, self.weight, self.bias = norm.eps, norm.weight, norm.bias
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("running_square", torch.ones(channels))
        self.register_buffer("squares", torch.zeros(BATCHES, channels))
        self.register_buffer("gradients", torch.zeros(BATCHES, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; batches are followed while it trains."""
        with torch.autocast(x.device.type, enabled=False):
            values = x.float()
            normalised = self._learning(values) if self.training else self._divided(values, self.running_square)
            return (normalised * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _divided(self, x: Tensor, square: Tensor) -> Tensor:
        return x * (square + self.eps).rsqrt()[:, None, None]

    def _learning(self, x: Tensor) -> Tensor:
        step = int(self.steps)
        with torch.no_grad():
            self.squares[step % BATCHES] = x.square().mean((0, 2, 3))
            square = self.squares.mean(0) if step >= BATCHES else self.squares[step].clone()
            # A plain mean first, so that the average does not begin with what nobody measured.
            self.running_square.lerp_(square, 1 / (step + 1) if step < WARM_UP else 1 - MOMENTUM)
            correction = ((square + self.eps) / (self.running_square + self.eps)).sqrt()
            if step < WARM_UP:
                correction = torch.ones_like(correction)
            self.steps += 1
        divided: Tensor = _Divide.apply(x, square + self.eps, self.gradients, step)
        return divided * correction.clamp(1 / LARGEST_CORRECTION, LARGEST_CORRECTION)[:, None, None]


class _Divide(torch.autograd.Function):
    """Division by a root whose gradient is that of batch statistics, averaged over batches (equations 13 and 14)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, square: Tensor, gradients: Tensor, step: int) -> Tensor:
        inverse = square.rsqrt()[:, None, None]
        divided = x * inverse
        ctx.save_for_backward(divided, inverse)
        ctx.gradients, ctx.step = gradients, step
        return divided

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        divided, inverse = ctx.saved_tensors
        kept, step = ctx.gradients, ctx.step
        kept[step % BATCHES] = (gradient * divided).mean((0, 2, 3))
        mean = kept.mean(0) if step >= BATCHES else kept[step]
        return inverse * (gradient - divided * mean[:, None, None]), None, None, None


class CentredConv2d(nn.Conv2d):
    """A convolution whose kernels have mean 0, so that its outputs nearly do (section 3.3 of the paper)."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve Tensor[B, C, H, W]."""
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        convolved: Tensor = self._conv_forward(x, centred, self.bias)
        return convolved
