"""Mosaic (arXiv 2004.10934): four images round a centre, so that one shows more contexts and more scales."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.detector.inference.stream import FILL
from pipeline.detector.training.data.labeled_image import LabeledPixels, cut_to, join
from pipeline.settings import MosaicSettings

CENTRE = (0.3, 0.7)
"""Where the four meet, as a share of the sides."""
TILES = 4


def mosaic(items: Sequence[LabeledPixels], settings: MosaicSettings, random: np.random.Generator) -> LabeledPixels:
    """Put four images side by side, each a piece of it at a scale of its own.

    Args:
        items: Four; the result has the size of the first.
        settings: How far images are resized.
        random: Draws the centre, the scales and the pieces.

    Returns:
        The mosaic. Objects that are cut to less than `MIN_VISIBLE` of their area are ignore regions.
    """
    height, width = items[0].pixels.shape[:2]
    x, y = (int(side * random.uniform(*CENTRE)) for side in (width, height))
    spans = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    canvas = np.full((height, width, 3), FILL, dtype=np.uint8)
    tiles = []
    for item, (left, top, right, bottom) in zip(items, spans, strict=True):
        tile = _piece(item, right - left, bottom - top, settings, random)
        canvas[top:bottom, left:right] = tile.pixels
        tiles.append(tile.moved(tile.points() + torch.tensor([left, top])))
    return join(canvas, tiles)


def _piece(
    item: LabeledPixels, width: int, height: int, settings: MosaicSettings, random: np.random.Generator
) -> LabeledPixels:
    """A random window of a resized image; what a small image leaves free is filled."""
    factor = random.uniform(settings.scale_min, settings.scale_max)
    before = item.pixels.shape[1::-1]
    sides = tuple(max(1, round(side * factor)) for side in before)
    resized: NDArray[np.uint8] = cv2.resize(
        item.pixels, sides, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    )  # type: ignore[assignment]
    x, y = (
        int(random.integers(0, max(0, side - span), endpoint=True))
        for side, span in zip(sides, (width, height), strict=True)
    )
    window = resized[y : y + height, x : x + width]
    pixels = np.full((height, width, 3), FILL, dtype=np.uint8)
    pixels[: window.shape[0], : window.shape[1]] = window
    factors = torch.tensor([sides[0] / before[0], sides[1] / before[1]])
    return cut_to(pixels, item.moved(item.points() * factors), (x, y))
