"""Mixup for detection (arXiv 1710.09412 as arXiv 1902.04103 adapts it): images blended, boxes joined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.detector.models.targets import Target
from pipeline.seeds import numpy_generator
from pipeline.settings import MixupSettings, MosaicSettings, MultiscaleSettings


def is_on(settings: MixupSettings | MosaicSettings | MultiscaleSettings, progress: float) -> bool:
    """Tell whether mixup, mosaic or multi-scale training is on at a point of a run.

    Args:
        settings: The switch and the window.
        progress: Share of the steps done, 0 to 1.

    Returns:
        False before `start` (burn-in), after `end`, and where switched off.
    """
    return settings.enabled and settings.start <= progress < settings.end


def mix_pair(first: tuple[Tensor, Target], second: tuple[Tensor, Target], share: float) -> tuple[Tensor, Target]:
    """Blend two images of one size.

    Args:
        first: Tensor[3, H, W] uint8 and its target.
        second: Likewise.
        share: lambda, weight of the first, 0 to 1.

    Returns:
        `share * first + (1 - share) * second` as uint8, with the boxes of both; the weights of each side are
        multiplied by its share, ignore regions of both are kept.
    """
    (pixels_a, target_a), (pixels_b, target_b) = first, second
    pixels = (pixels_a.float() * share + pixels_b.float() * (1 - share)).round().to(torch.uint8)
    weights = torch.cat([target_a["weights"] * share, target_b["weights"] * (1 - share)])
    joined = {key: torch.cat([target_a[key], target_b[key]]) for key in target_a if key != "weights"}
    return pixels, {**joined, "weights": weights}


def mixup(
    images: Tensor,
    targets: list[Target],
    settings: MixupSettings,
    seed: int,
    step: int,
    pseudo: Sequence[bool] = (),
) -> tuple[Tensor, list[Target]]:
    """Blend each image of a batch, with the set probability, with the next one of a kind that it may be blended with.

    Args:
        images (Tensor[B, 3, H, W]): uint8.
        targets: One target per image.
        settings: alpha and probability.
        seed: The settings' seed.
        step: The training step; the same step draws the same blends.
        pseudo: Which images the machine labelled; none by default.

    Returns:
        The batch, of the same size; partners are always unmixed images. An image without a partner, such as a single
        one, stays as it is; so do two pseudo-labelled ones, whose mistakes would add up.
    """
    if len(images) < 2:
        return images, targets
    pseudo = pseudo or [False] * len(images)
    random = numpy_generator(seed, "mixup", step)
    mixed_images, mixed_targets = images.clone(), list(targets)
    chosen = random.random(len(images)) < settings.probability
    shares = random.beta(settings.alpha, settings.alpha, len(images))
    for index in chosen.nonzero()[0].tolist():
        partner = _partner(index, pseudo, settings)
        if partner is None:
            continue
        mixed_images[index], mixed_targets[index] = mix_pair(
            (images[index], targets[index]), (images[partner], targets[partner]), float(shares[index])
        )
    return mixed_images, mixed_targets


def _partner(index: int, pseudo: Sequence[bool], settings: MixupSettings) -> int | None:
    """The next image that this one may be blended with."""
    following = [(index + offset) % len(pseudo) for offset in range(1, len(pseudo))]
    allowed = {0: settings.labeled_with_labeled, 1: settings.labeled_with_pseudo, 2: False}
    return next((other for other in following if allowed[pseudo[index] + pseudo[other]]), None)
