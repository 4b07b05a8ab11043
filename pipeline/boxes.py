"""Box geometry in the house form: float32, absolute pixels, `(x1, y1, x2, y2)`, origin top left."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_area, clip_boxes_to_image

__all__ = [
    "as_boxes",
    "clip",
    "grow",
    "intersection",
    "intersection_over_first",
    "is_valid",
    "outward",
    "scale",
    "shift",
]


def as_boxes(rows: object) -> Tensor:
    """Build a box tensor from nested numbers.

    Args:
        rows: Anything `torch.as_tensor` takes, N rows of 4 numbers; may be empty.

    Returns:
        Tensor[N, 4]: float32 boxes; `Tensor[0, 4]` for no rows.
    """
    return torch.as_tensor(rows, dtype=torch.float32).reshape(-1, 4)


def is_valid(boxes: Tensor, width: float, height: float, min_size_px: float = 0.0) -> Tensor:
    """Tell which boxes lie inside an image and have an area.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        width: Image width in pixels.
        height: Image height in pixels.
        min_size_px: Smallest side that counts as an area.

    Returns:
        Tensor[N]: bool, True where `0 <= x1 < x2 <= width`, `0 <= y1 < y2 <= height`, both sides at
        least `min_size_px` and every number finite.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    limit = boxes.new_tensor([width, height])
    inside = (boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= limit).all(1)
    return inside & (sides > 0).all(1) & (sides >= min_size_px).all(1) & torch.isfinite(boxes).all(1)


def clip(boxes: Tensor, width: float, height: float) -> Tensor:
    """Cut boxes at the edges of an image.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        width: Image width in pixels.
        height: Image height in pixels.

    Returns:
        Tensor[N, 4]: the parts inside the image; a box wholly outside gets a side of 0.
    """
    clipped: Tensor = clip_boxes_to_image(boxes, (height, width))
    return clipped


def grow(boxes: Tensor, ratio: Tensor | float) -> Tensor:
    """Widen boxes on all four sides by a share of their own sides.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        ratio: 0.25 adds a quarter of the width left and right, of the height above and below; one for all, or
            Tensor[N].

    Returns:
        Tensor[N, 4]: the wider boxes, not clipped.
    """
    margin = (boxes[:, 2:] - boxes[:, :2]) * torch.as_tensor(ratio, dtype=boxes.dtype).reshape(-1, 1)
    return torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], dim=1)


def scale(boxes: Tensor, x_factor: float, y_factor: float) -> Tensor:
    """Multiply x by `x_factor` and y by `y_factor`.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        x_factor: New width over old width.
        y_factor: New height over old height.

    Returns:
        Tensor[N, 4]: the scaled boxes.
    """
    return boxes * boxes.new_tensor([x_factor, y_factor, x_factor, y_factor])


def shift(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Move boxes.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        offsets (Tensor[N, 2] or Tensor[2]): pixels to the right and down.

    Returns:
        Tensor[N, 4]: the moved boxes.
    """
    return boxes + torch.cat([offsets, offsets], dim=-1)


def intersection(first: Tensor, second: Tensor) -> Tensor:
    """Area shared by every pair of boxes.

    Args:
        first (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        second (Tensor[M, 4]): in `(x1, y1, x2, y2)`, pixels.

    Returns:
        Tensor[N, M]: square pixels, 0 where a pair does not touch.
    """
    top_left = torch.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    return (bottom_right - top_left).clamp(min=0).prod(-1)


def outward(boxes: Tensor) -> Tensor:
    """Whole pixels that hold boxes.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.

    Returns:
        Tensor[N, 4]: int64.
    """
    return torch.cat([boxes[:, :2].floor(), boxes[:, 2:].ceil()], dim=1).long()


def intersection_over_first(first: Tensor, second: Tensor) -> Tensor:
    """Share of each first box that lies in each second box.

    Args:
        first (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels, with an area.
        second (Tensor[M, 4]): in `(x1, y1, x2, y2)`, pixels.

    Returns:
        Tensor[N, M]: 0 to 1.
    """
    share: Tensor = intersection(first, second) / box_area(first)[:, None].clamp(min=1e-9)
    return share
