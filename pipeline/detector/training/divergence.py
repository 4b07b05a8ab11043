"""Seeing that a run goes wrong without waiting for the device at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.settings import RecoverySettings

REMEMBERED = 5
"""Mean losses of so many looks are what the next is held against."""
TINY = 1e-3
"""A loss below is as good as none, and many times as much of it still is."""


@dataclass(frozen=True)
class Divergence:
    """What went wrong.

    Attributes:
        step: The first bad one, from 0.
        cause: The part of the loss, `gradient`, or `loss` where it leapt, with its value.
        image_ids: What that step learnt from.
    """

    step: int
    cause: str
    image_ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.cause} at step {self.step} (images {', '.join(image_id[:12] for image_id in self.image_ids)})"


@dataclass(frozen=True)
class _Step:
    number: int
    losses: dict[str, Tensor]
    norm: Tensor | None
    image_ids: tuple[str, ...]


class DivergenceWatch:
    """Remembers losses and gradient norms as they lie on the device, and looks at all of them at once now and then.

    Args:
        settings: What counts as divergence.
        reduce: Gives the mean of a tensor over all processes, so that they all judge alike.

    Attributes:
        losses: By name, of each step that the last look was at.
        means: Mean losses of the last looks.
    """

    def __init__(self, settings: RecoverySettings, reduce: Callable[[Tensor], Tensor] = torch.clone) -> None:
        self._settings = settings
        self._reduce = reduce
        self._steps: list[_Step] = []
        self.losses: list[dict[str, float]] = []
        self.means: list[float] = []

    def record(self, step: int, losses: dict[str, Tensor], norm: Tensor | None, image_ids: Sequence[str]) -> None:
        """Remember one step.

        Args:
            step: Its number, from 0.
            losses: Its scalars by name.
            norm: Of its gradient before clipping; None where infinite ones are normal (the scaler of fp16).
            image_ids: What it learnt from.
        """
        self._steps.append(_Step(step, losses, norm, tuple(image_ids)))

    def look(self) -> Divergence | None:
        """Judge the steps since the last look and forget them. This is where the device is waited for."""
        steps, self._steps, self.losses = self._steps, [], []
        if not steps:
            return None
        names = [*steps[0].losses]
        rows = [[step.losses[name] for name in names] + ([] if step.norm is None else [step.norm]) for step in steps]
        values = self._reduce(torch.stack([torch.stack([value.float() for value in row]) for row in rows])).tolist()
        self.losses = [dict(zip(names, row, strict=False)) for row in values]
        for step, row in zip(steps, values, strict=True):
            bad = [
                f"{name} {value}"
                for name, value in zip([*names, "gradient"], row, strict=False)
                if not math.isfinite(value)
            ]
            if bad:
                return Divergence(step.number, ", ".join(bad), step.image_ids)
        totals = [sum(losses.values()) for losses in self.losses]
        mean, last = sum(totals) / len(totals), totals[-1]
        # A leap that clipped gradients have brought down again since is no trouble.
        if self.means and last > self._settings.divergence * max(min(self.means), TINY):
            worst = steps[totals.index(max(totals))]
            return Divergence(worst.number, f"loss {last:.3g} after {min(self.means):.3g}", worst.image_ids)
        self.means = [*self.means, mean][-REMEMBERED:]
        return None
