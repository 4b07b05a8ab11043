"""Detections in image files, by the names of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.dataset.images import read_image
from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.detector.inference.tiling import Tiling, detect_tiled
from pipeline.progress import Progress, silent


@dataclass(frozen=True)
class FoundBox:
    """A detection, in pixels of its image."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class FoundInImage:
    """What was found in one image.

    Attributes:
        uri: The image.
        width: In pixels.
        height: In pixels.
        tiles: Into which it was divided.
        looked_at: Tiles that were looked at.
        boxes: Best first.
    """

    uri: str
    width: int
    height: int
    tiles: int
    looked_at: int
    boxes: tuple[FoundBox, ...]


def detect_in_files(
    predictor: Predictor, uris: Sequence[str], tiling: Tiling, max_pixels: int, progress: Progress = silent
) -> list[FoundInImage]:
    """Detect in image files of any size.

    Args:
        predictor: The detector.
        uris: The images.
        tiling: How large ones are looked at.
        max_pixels: An image may have at most so many.
        progress: Called after every image.

    Raises:
        ImageFault: An image cannot be read, or has more than `max_pixels`.
    """
    found = []
    for number, uri in enumerate(uris, start=1):
        image = read_image(uri, max_pixels)
        tiled = detect_tiled(predictor, image.pixels, tiling)
        boxes = _boxes(tiled.detections, predictor.labels)
        found.append(FoundInImage(uri, image.width, image.height, tiled.tiles, tiled.looked_at, boxes))
        progress("images", number, len(uris))
    return found


def _boxes(found: Detections, labels: Sequence[str]) -> tuple[FoundBox, ...]:
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    return tuple(
        FoundBox(labels[label - 1], round(score, 4), *(round(side, 1) for side in box)) for label, score, box in rows
    )
