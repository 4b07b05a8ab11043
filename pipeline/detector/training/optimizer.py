"""AdamW whose learning rate rises, stays, and falls at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.optim import AdamW

from pipeline.detector.models.detector import Detector
from pipeline.settings import TrainingSettings


def build_optimizer(detector: Detector, settings: TrainingSettings) -> AdamW:
    """Make the optimizer of everything in a detector that learns."""
    return AdamW(list(_parameter_groups(detector, settings)), weight_decay=settings.weight_decay, fused=True)


def learning_rate_factor(step: int, settings: TrainingSettings) -> float:
    """Share of the full learning rate: warm-up, stable, decay (arXiv 2404.06395), falling as in arXiv 2405.18392.

    Up to the decay it does not depend on how long the run is, so that the length may be found while it goes on.

    Args:
        step: From 0.
        settings: Steps, warm-up and decay.

    Returns:
        0 to 1.
    """
    stable = stable_steps(settings.steps, settings.decay)
    risen = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    fallen = math.sqrt(max(0, step - stable) / max(1, settings.steps - stable))
    return risen * (1 - fallen)


def stable_steps(steps: int, decay: float) -> int:
    """Steps before the decay of a run of so many."""
    return round(steps * (1 - decay))


def steps_with(stable: int, decay: float) -> int:
    """Steps of a run whose decay begins after so many."""
    return max(stable + 1, round(stable / (1 - decay)))


def _parameter_groups(detector: Detector, settings: TrainingSettings) -> Iterator[dict[str, Any]]:
    """The backbone's body learns slower than what was drawn at random."""
    body = {id(parameter) for parameter in detector.body.parameters()}
    learning = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    groups: list[tuple[list[nn.Parameter], float]] = [
        ([p for p in learning if id(p) in body], settings.learning_rate * settings.backbone_factor),
        ([p for p in learning if id(p) not in body], settings.learning_rate),
    ]
    return ({"params": parameters, "lr": rate} for parameters, rate in groups if parameters)
