"""Shapes as height fields: every object is drawn in a frame of its own, so that any angle and size is exact."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.demo.materials import Material

Plane = NDArray[np.floating]
"""One number a pixel, `[height, width]`."""

SUPERSAMPLING = 2
"""Fine pixels an image pixel, along each side."""

_REACH = 1.15


@dataclass(frozen=True, slots=True)
class Pose:
    """How one object lies under the camera.

    Attributes:
        half_length_px: Image pixels a unit of the object's frame; objects fit the unit disc or little more.
        angle: Rotation in radians.
        tilt: Foreshortening across `tilt_axis`, 1 = seen from straight above.
        tilt_axis: Direction, in radians, that keeps its length.
    """

    half_length_px: float
    angle: float
    tilt: float = 1.0
    tilt_axis: float = 0.0

    def matrix(self) -> NDArray[np.float64]:
        """The map from the object's frame to fine pixels, `[2, 2]`, without the shift to the middle."""
        squash = _rotation(self.tilt_axis) @ np.diag([1.0, self.tilt]) @ _rotation(-self.tilt_axis)
        to_fine: NDArray[np.float64] = squash @ _rotation(self.angle) * self.half_length_px * SUPERSAMPLING
        return to_fine


class Grid:
    """The fine pixels under one object and where each lies in the object's frame.

    Args:
        view: How the object lies.

    Attributes:
        u (Plane): along the object's long side, -1.15 to 1.15 and a little more.
        v (Plane): across it.
        radius (Plane): distance from the middle.
        pixel: Side of a fine pixel in units of the frame.
    """

    def __init__(self, view: Pose) -> None:
        self._to_fine = view.matrix()
        side = 2 * int(np.ceil(view.half_length_px * _REACH) + 1)
        self._middle = side * SUPERSAMPLING / 2
        ticks = np.arange(side * SUPERSAMPLING, dtype=np.float32) + np.float32(0.5 - self._middle)
        back = np.linalg.inv(self._to_fine).astype(np.float32)
        self.u: Plane = back[0, 0] * ticks[None, :] + back[0, 1] * ticks[:, None]
        self.v: Plane = back[1, 0] * ticks[None, :] + back[1, 1] * ticks[:, None]
        self.radius: Plane = np.hypot(self.u, self.v)
        self.pixel = 1.0 / (view.half_length_px * SUPERSAMPLING)

    def distance_to(self, *lines: NDArray[np.floating]) -> Plane:
        """Distance from polylines.

        Args:
            lines: Points of each in the object's frame, `[N, 2]`.

        Returns:
            Plane: in units of the frame, exact to about half a fine pixel.
        """
        ink = np.full(self.u.shape, 255, np.uint8)
        for line in lines:
            fine = line @ self._to_fine.T + self._middle
            cv2.polylines(ink, [np.round(fine * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, shift=4)
        return cv2.distanceTransform(ink, cv2.DIST_L2, 5).astype(np.float32) * np.float32(self.pixel)

    def cover(self, distance: Plane) -> Plane:
        """Share of each fine pixel that a shape covers.

        Args:
            distance (Plane): signed distance from its outline, negative inside.

        Returns:
            Plane: 0 to 1.
        """
        return np.clip(0.5 - distance / np.float32(self.pixel), 0, 1)


@dataclass(frozen=True, slots=True)
class Layer:
    """One piece of an object; later layers lie on earlier ones.

    Attributes:
        coverage (Plane): share of each fine pixel that it covers.
        height (Plane): in units of the object's frame; only its slopes are seen.
        material: What it is made of.
        shade (Plane or float): light that reaches it, 1 = all.
        telling: People know the class by it; what is left of the object is labeled only where they see it.
    """

    coverage: Plane
    height: Plane
    material: Material
    shade: Plane | float = 1.0
    telling: bool = True


def slab(u: Plane, v: Plane, half_length: float, half_width: float, corner: float = 0.0) -> Plane:
    """Measure the distance from a rectangle round the origin.

    Args:
        u (Plane): place along the rectangle's length.
        v (Plane): place along its width.
        half_length: Half its length.
        half_width: Half its width.
        corner: Radius of its corners.

    Returns:
        Plane: signed distance, negative inside.
    """
    across = np.abs(u) - np.float32(half_length - corner)
    along = np.abs(v) - np.float32(half_width - corner)
    outside = np.hypot(np.maximum(across, 0), np.maximum(along, 0))
    distance: Plane = outside + np.minimum(np.maximum(across, along), 0) - np.float32(corner)
    return distance


def polygon(u: Plane, v: Plane, sides: int, inner_radius: float) -> Plane:
    """Measure the distance from a regular polygon round the origin.

    Args:
        u (Plane): place across a side.
        v (Plane): place along it.
        sides: How many, 3 or more.
        inner_radius: From the origin to the middle of a side.

    Returns:
        Plane: signed distance, negative inside; too short beyond the corners, where nobody looks.
    """
    turns = np.arange(sides) * (2 * np.pi / sides)
    edges = (u * np.float32(np.cos(turn)) + v * np.float32(np.sin(turn)) for turn in turns)
    nearest: Plane = np.maximum.reduce(list(edges))
    return nearest - np.float32(inner_radius)


def bevel(distance: Plane, width: float) -> Plane:
    """Raise a plateau with a rounded edge.

    Args:
        distance (Plane): signed distance from its outline, negative inside.
        width: Width and height of the edge.

    Returns:
        Plane: height, 0 on the outline and outside, `width` from `width` inside on.
    """
    inside = np.clip(-distance / np.float32(width), 0, 1)
    height: Plane = np.sqrt(1 - (1 - inside) ** 2) * np.float32(width)
    return height


def rod(distance: Plane, radius: float | Plane) -> Plane:
    """Raise a round bar.

    Args:
        distance (Plane): from its axis, of either sign.
        radius (Plane or float): half its thickness.

    Returns:
        Plane: height, 0 on the outline and outside.
    """
    height: Plane = np.sqrt(np.maximum(np.square(radius) - np.square(distance), 0))
    return height


def _rotation(angle: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
