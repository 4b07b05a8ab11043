"""Batches shown smaller than the input's size: cheaper, and another scale of every object."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pipeline.detector.inference.stream import STRIDE
from pipeline.detector.models.targets import IN_PIXELS, Target
from pipeline.detector.training.data.mixup import is_on
from pipeline.seeds import numpy_generator
from pipeline.settings import MultiscaleSettings


def scale_of(settings: MultiscaleSettings, seed: int, step: int, progress: float) -> float:
    """Draw how large the batch of a step is shown (multi-scale training, arXiv 1612.08242).

    Args:
        settings: The switch, the window and the smallest scale.
        seed: The settings' seed.
        step: The training step.
        progress: Share of the steps done, 0 to 1.

    Returns:
        `smallest` to 1, uniformly; 1 outside the window.
    """
    if not is_on(settings, progress):
        return 1.0
    return float(numpy_generator(seed, "scale", step).uniform(settings.smallest, 1.0))


def rescale(images: Tensor, targets: list[Target], scale: float) -> tuple[Tensor, list[Target]]:
    """Show a batch at another size.

    Args:
        images (Tensor[B, 3, H, W]): uint8, H and W multiples of 32.
        targets: One per image; none for images alone.
        scale: Wanted size over size.

    Returns:
        The batch, its sides the multiples of 32 next to the wanted ones, and its targets in its pixels.
    """
    height, width = images.shape[-2:]
    rows, columns = (max(1, round(side * scale / STRIDE)) * STRIDE for side in (height, width))
    if (rows, columns) == (height, width):
        return images, targets
    smaller = F.interpolate(images.float(), (rows, columns), mode="bilinear", antialias=True)
    factors = torch.tensor([columns / width, rows / height])
    scaled = [
        {**one, **{key: one[key] * factors.repeat(one[key].shape[1] // 2) for key in IN_PIXELS & one.keys()}}
        for one in targets
    ]
    return smaller.round().clamp(0, 255).to(torch.uint8), scaled
