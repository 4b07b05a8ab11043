"""EXIF orientation: where a pixel of the stored image lies in the image as a person sees it."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

_SWAPS_SIDES = frozenset({5, 6, 7, 8})
_FLIPS_X = frozenset({2, 3, 6, 7})
_FLIPS_Y = frozenset({3, 4, 7, 8})
_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def displayed_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Size of a stored image when it is shown; the same function leads back.

    Args:
        width: Pixels.
        height: Pixels.
        orientation: EXIF orientation, 1 to 8.

    Returns:
        `(width, height)` in pixels, swapped for orientations 5 to 8.
    """
    return (height, width) if orientation in _SWAPS_SIDES else (width, height)


def displayed_boxes(boxes: Tensor, width: int, height: int, orientation: int) -> Tensor:
    """Carry boxes from the stored image to the image as a person sees it.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels of the stored image.
        width: Width of the stored image in pixels.
        height: Height of the stored image in pixels.
        orientation: EXIF orientation, 1 to 8.

    Returns:
        Tensor[N, 4]: in `(x1, y1, x2, y2)`, pixels of the displayed image; an inverted box stays inverted.
    """
    shown_width, shown_height = displayed_size(width, height, orientation)
    if orientation in _SWAPS_SIDES:
        boxes = boxes[:, [1, 0, 3, 2]]
    x1, y1, x2, y2 = boxes.unbind(1)
    if orientation in _FLIPS_X:
        x1, x2 = shown_width - x2, shown_width - x1
    if orientation in _FLIPS_Y:
        y1, y2 = shown_height - y2, shown_height - y1
    return torch.stack([x1, y1, x2, y2], dim=1)


def displayed_image(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a stored image the way a person sees it.

    Args:
        image: The image.
        orientation: EXIF orientation, 1 to 8.

    Returns:
        The turned image; the same object for orientation 1.
    """
    return image.transpose(_METHODS[orientation]) if orientation in _METHODS else image
