"""AdamW whose learning rate rises and then falls along a cosine."""

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


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the full learning rate: a linear rise, then half a cosine down to 0.

    Args:
        step: From 0.
        steps: Of the run.
        warmup: Share of the run that rises.

    Returns:
        0 to 1.
    """
    rising = round(steps * warmup)
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _parameter_groups(detector: Detector, settings: TrainingSettings) -> Iterator[dict[str, Any]]:
    """The backbone's body learns slower than what was drawn at random."""
    body = {id(parameter) for parameter in detector.body.parameters()}
    learning = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    groups: list[tuple[list[nn.Parameter], float]] = [
        ([p for p in learning if id(p) in body], settings.learning_rate * settings.backbone_factor),
        ([p for p in learning if id(p) not in body], settings.learning_rate),
    ]
    return ({"params": parameters, "lr": rate} for parameters, rate in groups if parameters)
