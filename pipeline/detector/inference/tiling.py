"""Large images in tiles: an overview chooses where to look closely, and what tiles show is merged.

Tiles overlap (arXiv 2202.06934), so that an object cut by one lies whole in the next. Which tiles are worth a pass is
judged on the image as a whole at low resolution, as saliency sampling does (arXiv 1809.03355).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import batched_nms

from pipeline.boxes import clip, intersection_over_first, scale
from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.detector.inference.stream import stack_images

EDGE_PX = 2.0
"""A box that ends so close to an inner edge of its tile is taken to be cut by it."""
SAME_SHARE = 0.6
"""A cut box of which so much lies in another one of its class is a part of that."""


@dataclass(frozen=True)
class Tiling:
    """How a large image is looked at.

    Attributes:
        tile_px: Side of a tile, in pixels of the image.
        overlap: Share of a tile that the next one shows too.
        share: Of all tiles, those that are looked at: the ones where the overview shows most.
    """

    tile_px: int
    overlap: float = 0.2
    share: float = 1.0


@dataclass(frozen=True)
class Tiled:
    """What was found in a large image.

    Attributes:
        detections: In pixels of the image, best first.
        tiles: How many there are.
        looked_at: How many were looked at, beside the overview.
    """

    detections: Detections
    tiles: int
    looked_at: int


def detect_tiled(predictor: Predictor, pixels: NDArray[np.uint8], tiling: Tiling) -> Tiled:
    """Detect in an image of any size.

    Args:
        predictor: The detector.
        pixels: uint8[H, W, 3] RGB.
        tiling: How.
    """
    height, width = pixels.shape[:2]
    whole = torch.tensor([[0, 0, width, height]])
    overview = next(_detect(predictor, pixels, whole))
    tiles = tiles_of(width, height, tiling)
    chosen = tiles[most_salient(tiles, overview, pixels, math.ceil(tiling.share * len(tiles)))]
    if len(tiles) == 1:  # the overview has shown it
        return Tiled(overview, 1, 0)
    seen = list(_detect(predictor, pixels, chosen))
    cut = [cut_by_tile(found.boxes, tile, (width, height)) for found, tile in zip(seen, chosen, strict=True)]
    found = Detections.join([overview, *seen])
    is_cut = torch.cat([torch.zeros(len(overview), dtype=torch.bool), *cut])
    return Tiled(merge(found, is_cut, predictor.detector.settings.nms_iou), len(tiles), len(chosen))


def tiles_of(width: int, height: int, tiling: Tiling) -> Tensor:
    """Lay tiles over an image, evenly, all of one size and inside it.

    Returns:
        Tensor[T, 4] int64: row by row; one for an image that a tile covers.
    """
    columns, rows = (_starts(side, tiling) for side in (width, height))
    right, lower = min(tiling.tile_px, width), min(tiling.tile_px, height)
    return torch.tensor([(x, y, x + right, y + lower) for y in rows for x in columns])


def _starts(side: int, tiling: Tiling) -> list[int]:
    if side <= tiling.tile_px:
        return [0]
    step = max(1.0, tiling.tile_px * (1 - tiling.overlap))
    count = math.ceil((side - tiling.tile_px) / step) + 1
    return np.linspace(0, side - tiling.tile_px, count).round().astype(int).tolist()  # type: ignore[no-any-return]


def most_salient(tiles: Tensor, overview: Detections, pixels: NDArray[np.uint8], count: int) -> Tensor:
    """Choose the tiles where most is to be expected.

    Args:
        tiles (Tensor[T, 4]): in pixels of the image.
        overview: What the image as a whole shows.
        pixels: The image; where the overview shows nothing, tiles of more contrast come first.
        count: How many are wanted.

    Returns:
        Tensor[count] int64: ascending.
    """
    inside = intersection_over_first(overview.boxes, tiles.float())
    expected = (inside * overview.scores[:, None]).sum(0)
    contrast = torch.tensor([_contrast(pixels, tile.tolist()) for tile in tiles])
    return (expected + contrast / 1000).argsort(descending=True, stable=True)[:count].sort().values


def _contrast(pixels: NDArray[np.uint8], tile: list[int]) -> float:
    """0 to 1; of every eighth pixel, which is enough to tell a plain tile."""
    left, top, right, bottom = tile
    return float(pixels[top:bottom:8, left:right:8].std()) / 128


def cut_by_tile(boxes: Tensor, tile: Tensor, size: tuple[int, int]) -> Tensor:
    """Mark boxes that an edge of their tile cuts.

    Args:
        boxes (Tensor[N, 4]): in pixels of the image.
        tile (Tensor[4]): likewise.
        size: Width and height of the image, whose own edges cut nothing.

    Returns:
        Tensor[N]: bool.
    """
    low = (boxes[:, :2] - tile[:2] < EDGE_PX) & (tile[:2] > 0)
    high = (tile[2:] - boxes[:, 2:] < EDGE_PX) & (tile[2:] < torch.tensor(size))
    return (low | high).any(1)


def merge(found: Detections, is_cut: Tensor, nms_iou: float) -> Detections:
    """Leave one detection per object.

    Whole boxes suppress each other by overlap. A cut one is left out where most of it lies in a whole one of its class.

    Args:
        found: From all tiles, in pixels of the image.
        is_cut (Tensor[N]): bool.
        nms_iou: Of two of one class that overlap more, the better stays.

    Returns:
        The rest, best first.
    """
    whole, parts = _suppressed(found[~is_cut], nms_iou), _suppressed(found[is_cut], nms_iou)
    inside = intersection_over_first(parts.boxes, whole.boxes) > SAME_SHARE
    known = (inside & (parts.labels[:, None] == whole.labels)).any(1)
    joined = Detections.join([whole, parts[~known]])
    return joined[joined.scores.argsort(descending=True, stable=True)]


def _suppressed(found: Detections, nms_iou: float) -> Detections:
    return found[batched_nms(found.boxes, found.scores, found.labels, nms_iou)]


def _detect(predictor: Predictor, pixels: NDArray[np.uint8], tiles: Tensor) -> Iterator[Detections]:
    """What each tile shows, in pixels of the image."""
    for batch in torch.split(tiles, predictor.batch_size):
        shown = [
            _resized(pixels[top:bottom, left:right], predictor.image_size_px) for left, top, right, bottom in batch
        ]
        for tile, image, found in zip(batch, shown, predictor(stack_images(shown)), strict=True):
            yield _in_image(found, tile, (int(image.shape[1]), int(image.shape[0])))


def _resized(pixels: NDArray[np.uint8], longest_side_px: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    factor = longest_side_px / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, size, interpolation=way).astype(np.uint8)


def _in_image(found: Detections, tile: Tensor, size: tuple[int, int]) -> Detections:
    boxes = clip(found.boxes, *size)
    kept = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
    (width, height), (left, top, right, bottom) = size, tile.tolist()
    placed = scale(boxes, (right - left) / width, (bottom - top) / height) + torch.tensor([left, top, left, top])
    return replace(found, boxes=placed)[kept]
