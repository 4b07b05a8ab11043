"""Looking at whole images another way: larger, smaller, mirrored."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from pipeline.boxes import scale
from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.detector.inference.stream import FILL, STRIDE


@dataclass(frozen=True)
class AugmentedView:
    """One way to look at an image.

    Attributes:
        enlarged: How much larger than the detector's input size, 1 for the same.
        mirrored: Left is right.
    """

    enlarged: float
    mirrored: bool


def detect_augmented(view: AugmentedView, predictor: Predictor, images: Tensor) -> list[Detections]:
    """Detect in a view of images.

    Args:
        view: How they are looked at.
        predictor: The detector.
        images (Tensor[B, 3, H, W]): uint8.

    Returns:
        What is seen of each image, in pixels of `images`.
    """
    height, width = (round(side * view.enlarged) for side in images.shape[-2:])
    shown = images
    if view.enlarged != 1:
        shown = interpolate(images.float(), (height, width), mode="bilinear", antialias=True).round().to(torch.uint8)
    if view.mirrored:
        shown = shown.flip(-1)
    shown = pad(shown, (0, -width % STRIDE, 0, -height % STRIDE), value=FILL)
    x_factor, y_factor = images.shape[-1] / width, images.shape[-2] / height
    return [_back(detected, view, width, x_factor, y_factor) for detected in predictor(shown)]


def _back(seen: Detections, view: AugmentedView, width: int, x_factor: float, y_factor: float) -> Detections:
    x1, y1, x2, y2 = seen.boxes.unbind(1)
    if view.mirrored:
        x1, x2 = width - x2, width - x1
    boxes = scale(torch.stack([x1, y1, x2, y2], dim=1), x_factor, y_factor)
    return replace(seen, boxes=boxes)
