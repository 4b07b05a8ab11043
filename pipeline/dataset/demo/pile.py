"""Things that lie on one another, and which of them each pixel shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.demo.bench import Canvas
from pipeline.dataset.demo.relief import Plane
from pipeline.dataset.demo.shading import Light, Patch

MIN_VISIBLE = 0.4
"""Least share of a part, and of what tells its class, that stays visible under later things."""

MIN_INSIDE = 0.5
"""Least share of a part, and of what tells its class, that lies inside the image."""

Corners = tuple[int, int, int, int]

_NOBODY = -1
_SPECK_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Part:
    """A labeled part as the image shows it.

    Attributes:
        label: Its class.
        mask: Its visible pixels, the image's height and width, at least one of them True; without the specks
            that peep out beyond a thing that covers it, which nobody would take for the part.
        full_box: `(x1, y1, x2, y2)` round all of it that lies inside the image, covered or not.
    """

    label: str
    mask: NDArray[np.bool_]
    full_box: Corners

    @property
    def box(self) -> Corners:
        """Tight `(x1, y1, x2, y2)` round the visible pixels."""
        return _bounds(self.mask, 0, 0)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a patch meets the image: the rows and columns of each that lie on the other."""

    image: tuple[slice, slice]
    patch: tuple[slice, slice]

    @staticmethod
    def of(image: tuple[int, ...], patch: tuple[int, ...], left: int, top: int) -> Spot:
        """Overlay a patch whose upper left corner is at column `left`, row `top`; both may lie outside."""
        pairs = [
            (slice(max(start, 0), min(start + size, limit)), start)
            for start, size, limit in zip((top, left), patch[:2], image[:2], strict=True)
        ]
        rows, columns = (inside for inside, _ in pairs)
        patch_rows, patch_columns = (slice(inside.start - start, inside.stop - start) for inside, start in pairs)
        return Spot((rows, columns), (patch_rows, patch_columns))


class Pile:
    """A bench on which things are laid, one after the other.

    Args:
        canvas: The empty bench; drawn over.
        light: The lamp.
    """

    def __init__(self, canvas: Canvas, light: Light) -> None:
        self.canvas = canvas
        self._light = light
        self._owner = np.full(canvas.shape[:2], _NOBODY, np.int32)
        self._telling = np.zeros(canvas.shape[:2], np.bool_)
        self._labels: list[str] = []
        self._areas: list[tuple[int, int]] = []
        self._full_boxes: list[Corners] = []

    def overlap(self, patch: Patch, left: int, top: int) -> float:
        """Share of a thing that would lie on labeled parts."""
        spot = Spot.of(self._owner.shape, patch.mask.shape, left, top)
        on_parts = patch.mask[spot.patch] & (self._owner[spot.image] != _NOBODY)
        return float(on_parts.sum() / patch.mask.sum())

    def fits(self, patch: Patch, left: int, top: int) -> bool:
        """Tell whether a thing may lie here: itself enough inside, no part below it hidden too much."""
        spot = Spot.of(self._owner.shape, patch.mask.shape, left, top)
        inside = patch.mask[spot.patch].sum() >= MIN_INSIDE * patch.mask.sum()
        if not inside or patch.telling[spot.patch].sum() < MIN_INSIDE * patch.telling.sum():
            return False
        hidden = np.zeros(self._owner.shape, np.bool_)
        hidden[spot.image] = patch.mask[spot.patch]
        lost = self._count(hidden)
        return bool(np.all((lost == 0) | (self._count(~hidden) >= MIN_VISIBLE * self._whole())))

    def put(self, patch: Patch, left: int, top: int, label: str, lift_px: float) -> None:
        """Lay a thing down with its shadow.

        Args:
            patch: The thing.
            left: Column of its left edge, may lie outside.
            top: Row of its upper edge, may lie outside.
            label: Its class, empty for clutter.
            lift_px: How high it stands; longer shadows for higher things.
        """
        self._cast_shadow(patch.alpha, left, top, lift_px)
        spot = Spot.of(self._owner.shape, patch.mask.shape, left, top)
        self.canvas[spot.image] *= 1 - patch.alpha[spot.patch][..., None]
        self.canvas[spot.image] += patch.color[spot.patch]
        seen = patch.mask[spot.patch]
        self._owner[spot.image][seen] = len(self._labels) if label else _NOBODY
        self._telling[spot.image][seen] = patch.telling[spot.patch][seen]
        if label:
            self._labels.append(label)
            self._areas.append((int(patch.mask.sum()), int(patch.telling.sum())))
            self._full_boxes.append(_bounds(seen, spot.image[1].start, spot.image[0].start))

    def parts(self) -> tuple[Part, ...]:
        """The labeled parts with their visible pixels, lowest first."""
        return tuple(
            Part(label, _without_specks(self._owner == number), full_box)
            for number, (label, full_box) in enumerate(zip(self._labels, self._full_boxes, strict=True))
        )

    def _whole(self) -> NDArray[np.int64]:
        return np.array(self._areas, np.int64).reshape(-1, 2).T

    def _count(self, where: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Pixels of each part that are seen, and telling ones among them, within a region: `[2, N]`."""
        size = len(self._labels) + 1
        seen = np.bincount(self._owner[where] + 1, minlength=size)
        telling = np.bincount(self._owner[where & self._telling] + 1, minlength=size)
        return np.stack([seen, telling])[:, 1:]

    def _cast_shadow(self, alpha: Plane, left: int, top: int, lift_px: float) -> None:
        light = self._light
        reach = lift_px / np.tan(light.elevation)
        softness = max(lift_px * (0.75 - 0.45 * light.hardness), 0.5)
        margin = int(np.ceil(reach + 3 * softness)) + 3
        block = cv2.copyMakeBorder(alpha, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
        away = -reach * np.array([np.cos(light.azimuth), np.sin(light.azimuth)])
        shift = np.hstack([np.eye(2), away[:, None]])
        thrown = cv2.GaussianBlur(cv2.warpAffine(block, shift, block.shape[::-1]), (0, 0), softness)
        contact = cv2.GaussianBlur(block, (0, 0), 1.2) * np.float32(0.45)
        dark = np.maximum(contact, thrown * np.float32(1 - light.ambient))
        spot = Spot.of(self._owner.shape, dark.shape, left - margin, top - margin)
        self.canvas[spot.image] *= 1 - dark[spot.patch][..., None]


def _bounds(mask: NDArray[np.bool_], left: int, top: int) -> Corners:
    """Tight box round what is True in a mask whose first pixel is at column `left`, row `top`."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop pieces under a tenth of the largest; pieces a few pixels apart, as of thin wire, count as one."""
    joined = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    _, pieces = cv2.connectedComponents(joined)
    areas = np.bincount(pieces[mask])
    kept: NDArray[np.bool_] = (areas >= _SPECK_SHARE * areas.max())[pieces]
    return mask & kept
