"""Masks of COCO's `segmentation`, as small rasters over the boxes of their objects."""

from __future__ import annotations

from typing import Literal

import numpy as np
from faster_coco_eval.core import mask as coco
from numpy.typing import NDArray
from pydantic import BaseModel

MASK_SIDE = 64
"""Cells of a raster along each side; a detector learns 28."""
MOST_PIXELS = 2**28
"""Of an image whose runs are unpacked."""
_BOX = tuple[float, float, float, float]


class Rle(BaseModel):
    """Runs of pixels down the columns, in turn outside and inside; as text they are packed as COCO's tools do it."""

    size: tuple[int, int]
    counts: str | list[int]


def rasterize(segmentation: list[list[float]] | Rle, bbox: _BOX) -> bytes:
    """Draw a mask on a grid that lies over its box.

    Args:
        segmentation: Polygons `[x1, y1, x2, y2, ...]` in pixels, or runs over the whole image.
        bbox: `[x, y, width, height]`.

    Returns:
        `MASK_SIDE` squared bits row by row, see `unpack`; none at all where there is no mask, or one that fills its
        box, as tools write it that know but boxes.

    Raises:
        ValueError: A polygon has fewer than three corners, or runs do not make up their image.
    """
    if bbox[2] <= 0 or bbox[3] <= 0:
        return b""
    raster = _of_runs(segmentation, bbox) if isinstance(segmentation, Rle) else _of_polygons(segmentation, bbox)
    return b"" if raster.all() or not raster.any() else np.packbits(raster).tobytes()


def unpack(masks: list[bytes]) -> NDArray[np.uint8]:
    """Give masks back as uint8[N, MASK_SIDE, MASK_SIDE] of 0 and 1."""
    packed = np.frombuffer(b"".join(masks), dtype=np.uint8).reshape(len(masks), MASK_SIDE**2 // 8)
    return np.unpackbits(packed, axis=1).reshape(-1, MASK_SIDE, MASK_SIDE)


def runs_of(mask: NDArray[np.bool_]) -> dict[Literal["size", "counts"], list[int] | str]:
    """Write a mask over an image as COCO's packed runs.

    Args:
        mask: The image's height and width.

    Returns:
        A `segmentation`.
    """
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": packed["counts"].decode()}


def _of_polygons(polygons: list[list[float]], bbox: _BOX) -> NDArray[np.bool_]:
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"Expected x and y of three corners or more in a polygon, got {len(polygon)} numbers")
    if not polygons:
        return np.zeros((MASK_SIDE, MASK_SIDE), dtype=np.bool_)
    origin, sides = np.array(bbox[:2]), np.array(bbox[2:])
    placed = [((np.reshape(polygon, (-1, 2)) - origin) * MASK_SIDE / sides).ravel().tolist() for polygon in polygons]
    runs = coco.merge(coco.frPyObjects(placed, MASK_SIDE, MASK_SIDE))
    raster: NDArray[np.bool_] = coco.decode(runs).astype(np.bool_)
    return raster


def _of_runs(runs: Rle, bbox: _BOX) -> NDArray[np.bool_]:
    image = _decoded(runs)
    height, width = runs.size
    columns, rows = (
        np.floor(start + (np.arange(MASK_SIDE) + 0.5) * side / MASK_SIDE).astype(np.int64)
        for start, side in zip(bbox[:2], bbox[2:], strict=True)
    )
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    cells = image[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
    raster: NDArray[np.bool_] = (cells > 0) & inside
    return raster


def _decoded(runs: Rle) -> NDArray[np.uint8]:
    height, width = runs.size
    if min(height, width) <= 0 or height * width > MOST_PIXELS:
        raise ValueError(f"Expected runs over an image of at most {MOST_PIXELS} pixels, got {height} x {width}")
    packed = (
        coco.frPyObjects(runs.model_dump(), height, width)
        if isinstance(runs.counts, list)
        else {"size": [height, width], "counts": runs.counts.encode()}
    )
    try:
        image: NDArray[np.uint8] = coco.decode(packed)
    except RuntimeError as fault:
        raise ValueError(str(fault)) from fault
    return image
