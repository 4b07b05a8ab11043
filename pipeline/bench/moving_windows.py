"""Sequences with known truth, made of labelled images: a window pans and zooms over each, as a camera would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.ops import box_area

from pipeline.boxes import as_boxes, clip, scale, shift
from pipeline.records import Sample
from pipeline.seeds import numpy_generator

SIDE_SHARE = (0.65, 0.95)
"""Of the image's sides, what the window shows at its first and its last frame."""
VISIBLE = 0.25
"""An object of which less lies in the window is not there."""
BLUR_PX, BRIGHTNESS, NOISE = (0.0, 1.5), (0.7, 1.2), (0.0, 12.0)
"""Of every frame anew: standard deviation of a Gaussian blur, a factor, and standard deviation of noise in grey
levels."""


@dataclass(frozen=True)
class Frame:
    """What the window shows.

    Attributes:
        pixels: uint8[H, W, 3] RGB.
        sample: The frame as an image of its own, with its true boxes in pixels of the frame; its `group_id` is the
            `image_id` of the image.
    """

    pixels: NDArray[np.uint8]
    sample: Sample


def frames_of(sample: Sample, pixels: NDArray[np.uint8], count: int, longest_side_px: int, seed: int) -> list[Frame]:
    """Move a window over an image.

    Args:
        sample: The image with its true boxes.
        pixels: uint8[H, W, 3], its pixels at their own size.
        count: Frames.
        longest_side_px: Of every frame; their shape is that of the image.
        seed: Drives the way of the window, and blur, brightness and noise.
    """
    random = numpy_generator(seed, "frames", sample.image_id)
    factor = longest_side_px / max(sample.width, sample.height)
    width, height = (max(1, round(side * factor)) for side in (sample.width, sample.height))
    boxes, image = as_boxes([box.xyxy for box in sample.boxes]), Image.fromarray(pixels)

    def show(number: int, window: Tensor) -> Frame:
        corners = (float(value) for value in window)
        shown = image.resize((width, height), Image.Resampling.BILINEAR, box=tuple(corners))  # type: ignore[arg-type]
        placed, visible = seen_through(boxes, window, width, height)
        kept = [
            replace(box, x1=x1, y1=y1, x2=x2, y2=y2)
            for box, (x1, y1, x2, y2), is_visible in zip(sample.boxes, placed.tolist(), visible.tolist(), strict=True)
            if is_visible
        ]
        own = replace(
            sample,
            image_id=frame_id(sample.image_id, number),
            group_id=sample.image_id,
            width=width,
            height=height,
            boxes=tuple(kept),
        )
        return Frame(disturb(np.asarray(shown), random), own)

    return [show(number, window) for number, window in enumerate(_windows(sample, count, random))]


def frame_id(sequence: str, number: int) -> str:
    """What stands for a frame in place of the hash of a file."""
    return f"{sequence}.{number:03d}"


def seen_through(boxes: Tensor, window: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Carry boxes of an image into a frame.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels of the image.
        window (Tensor[4]): what the frame shows of it, likewise.
        width: Of the frame in pixels.
        height: Of the frame in pixels.

    Returns:
        Tensor[N, 4] in pixels of the frame, cut at its edges; Tensor[N] bool: whether enough of each is visible.
    """
    sides = window[2:] - window[:2]
    moved = scale(shift(boxes, -window[:2]), width / float(sides[0]), height / float(sides[1]))
    cut = clip(moved, width, height)
    is_there = (cut[:, 2:] - cut[:, :2] >= 1).all(1)
    return cut, is_there & (box_area(cut) >= VISIBLE * box_area(moved))


def disturb(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Blur, brighten or darken, and add noise, each as much as chance will have it; uint8[H, W, 3]."""
    blur, brightness, noise = (random.uniform(*ends) for ends in (BLUR_PX, BRIGHTNESS, NOISE))
    # OpenCV refuses a deviation of 0; at 0.1 the kernel is a single pixel.
    blurred = cv2.GaussianBlur(pixels, (0, 0), max(blur, 0.1)).astype(np.float64)
    return (blurred * brightness + random.normal(0, noise, pixels.shape)).round().clip(0, 255).astype(np.uint8)


def _windows(sample: Sample, count: int, random: np.random.Generator) -> Iterator[Tensor]:
    """Tensor[4] of every frame, evenly from the first to the last; both of the image's shape and inside it."""
    size = torch.tensor([sample.width, sample.height])

    def draw() -> Tensor:
        sides = size * random.uniform(*SIDE_SHARE)
        start = (size - sides) * torch.from_numpy(random.uniform(size=2)).float()
        return torch.cat([start, start + sides])

    first, last = draw(), draw()
    yield from (torch.lerp(first, last, share) for share in torch.linspace(0, 1, count).tolist())
