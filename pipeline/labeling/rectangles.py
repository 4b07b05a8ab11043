"""Geometry between our pixel boxes and Label Studio's percent rectangles.

A rectangle is `(x, y, width, height)` in percent of the image's sides with a turn of `rotation` degrees, clockwise as
seen, about its own top-left corner, in pixel space. An image that was turned on the screen while somebody drew
(`image_rotation`) leaves no trace in the numbers: the page writes them for the unturned image.

Everything here is float64, so that pixels -> percent -> pixels is exact to 1e-9 pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SLACK_PX = 1e-6
_SMALLEST_SIDE_PX = 0.01


@dataclass(frozen=True, slots=True)
class Reading:
    """One rectangle as our box.

    Attributes:
        corners: `(x1, y1, x2, y2)` in pixels inside the image; None where no box can be made.
        notes: What was repaired, or why there is no box, in words for a person.
    """

    corners: tuple[float, float, float, float] | None
    notes: tuple[str, ...] = ()


def to_percent(corners: Array, width: float, height: float) -> Array:
    """Turn pixel boxes into unrotated percent rectangles.

    Args:
        corners (Array[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        width: Image width in pixels, above 0.
        height: Image height in pixels, above 0.

    Returns:
        Array[N, 4]: in `(x, y, width, height)`, percent; `Array[0, 4]` for no boxes.
    """
    boxes = np.asarray(corners, dtype=np.float64).reshape(-1, 4)
    side = np.array([width, height], dtype=np.float64)
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]) / np.tile(side, 2) * 100.0


def to_pixels(rectangles: Array, rotations: Array, width: float, height: float) -> Array:
    """Turn percent rectangles into the axis-aligned hulls that hold them.

    The corners of a rectangle turned by `a` are `(x, y)`, `(x + w cos a, y + w sin a)`,
    `(x + w cos a - h sin a, y + w sin a + h cos a)` and `(x - h sin a, y + h cos a)`.

    Args:
        rectangles (Array[N, 4]): in `(x, y, width, height)`, percent.
        rotations (Array[N]): degrees, clockwise about the top-left corner; 0 gives the rectangle itself.
        width: Image width in pixels, above 0.
        height: Image height in pixels, above 0.

    Returns:
        Array[N, 4]: in `(x1, y1, x2, y2)`, pixels, not clipped; `Array[0, 4]` for no rectangles.
    """
    side = np.array([width, height], dtype=np.float64)
    pixels = np.asarray(rectangles, dtype=np.float64).reshape(-1, 4) * np.tile(side, 2) / 100.0
    angles = np.deg2rad(np.asarray(rotations, dtype=np.float64).reshape(-1, 1))
    along = pixels[:, 2:3] * np.hstack([np.cos(angles), np.sin(angles)])
    down = pixels[:, 3:4] * np.hstack([-np.sin(angles), np.cos(angles)])
    origin = pixels[:, :2]
    points = np.stack([origin, origin + along, origin + along + down, origin + down], axis=1)
    return np.hstack([points.min(axis=1), points.max(axis=1)])


def read_rectangle(value: Mapping[str, Any], width: float, height: float, image_rotation: float = 0.0) -> Reading:
    """Read one rectangle that somebody drew.

    Args:
        value: Has `x`, `y`, `width`, `height` in percent and perhaps `rotation` in degrees.
        width: Image width in pixels, above 0.
        height: Image height in pixels, above 0.
        image_rotation: How the image was turned on the screen, in degrees; only noted.

    Returns:
        The part inside the image: the hull of a turned rectangle (the raw value stands in a note), clipped at the
        edges (with a note). No box, with a note, for a broken rectangle or one with a side under a hundredth of a
        pixel inside the image.
    """
    numbers = [value.get(name) for name in ("x", "y", "width", "height")] + [value.get("rotation") or 0.0]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        return Reading(None, (f"expected numbers for x, y, width and height, got {_raw(value)}",))
    if value["width"] <= 0 or value["height"] <= 0:
        return Reading(None, (f"expected a width and a height above 0, got {_raw(value)}",))
    hull = _hull(numbers, width, height)
    notes = []
    if image_rotation:
        notes.append(f"drawn while the image was turned by {image_rotation} degrees; read for the unturned image")
    if numbers[4] % 360:
        notes.append(f"turned by {numbers[4]:g} degrees, kept as its upright hull; raw value {_raw(value)}")
    x1, x2 = (min(max(x, 0.0), float(width)) for x in hull[::2])
    y1, y2 = (min(max(y, 0.0), float(height)) for y in hull[1::2])
    inside = (x1, y1, x2, y2)
    if any(abs(kept - drawn) > _SLACK_PX for kept, drawn in zip(inside, hull, strict=True)):
        notes.append(f"reached beyond the image and was clipped; raw value {_raw(value)}")
    if min(x2 - x1, y2 - y1) < _SMALLEST_SIDE_PX:
        return Reading(None, (*notes, "has no area inside the image"))
    return Reading(inside, tuple(notes))


def _hull(numbers: Sequence[float], width: float, height: float) -> Sequence[float]:
    """`to_pixels` of one rectangle with its rotation; without a rotation, as nearly all are, in plain numbers."""
    if numbers[4]:
        hull: list[float] = to_pixels(np.array(numbers[:4]), np.array(numbers[4]), width, height)[0].tolist()
        return hull
    x, w = (number * width / 100.0 for number in numbers[:4:2])
    y, h = (number * height / 100.0 for number in numbers[1:4:2])
    return x, y, x + w, y + h


def _raw(value: Mapping[str, Any]) -> str:
    return json.dumps({name: value.get(name) for name in ("x", "y", "width", "height", "rotation")})
