"""What the parts lie on: six surfaces, each in many looks, with stains and dust."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.dataset.demo.relief import Plane
from pipeline.dataset.demo.shading import value_noise

Canvas = NDArray[np.floating]
"""An image in linear light, `[height, width, 3]`."""


def draw_bench(width: int, height: int, clutter: float, rng: Generator) -> Canvas:
    """Draw an empty bench.

    Args:
        width: Pixels.
        height: Pixels.
        clutter: How stained and dusty it is, 0 to 1.
        rng: Drives everything.

    Returns:
        Linear light under an even lamp.
    """
    side = int(np.ceil(np.hypot(width, height))) + 4
    surface = _SURFACES[rng.choice(len(_SURFACES), p=_SHARES)](side, rng)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 360), 1.0).astype(np.float64)
    turn[:, 2] += [(width - side) / 2, (height - side) / 2]
    canvas: Canvas = cv2.warpAffine(surface, turn, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    for _ in range(rng.poisson(2.0 * clutter)):
        _stain(canvas, rng)
    _dust(canvas, rng.poisson(60 * clutter), rng)
    return np.clip(canvas, 0.004, 0.9)


def _wood(side: int, rng: Generator) -> Canvas:
    palette = [(0.45, 0.28, 0.14), (0.30, 0.16, 0.07), (0.55, 0.40, 0.25), (0.20, 0.14, 0.10), (0.38, 0.30, 0.24)]
    rows = np.arange(side, dtype=np.float32)[:, None]
    warp = value_noise((side, side), (5, 4), rng) * np.float32(rng.uniform(0.4, 1.6))
    rings = np.sin(rows / np.float32(rng.uniform(2.5, 7.0)) + warp * 6)
    fiber = value_noise((side, side), (side, 9), rng) * 0.6 + value_noise((side, side), (side // 3, 14), rng) * 0.5
    level = 1 + 0.14 * rings + 0.22 * fiber * np.float32(rng.uniform(0.5, 1.3))
    width = rng.uniform(60, 180)
    across = (rows + rng.uniform(0, width)) / width
    seam = np.mod(across, 1) * width < 1.8
    tones = rng.uniform(0.85, 1.15, int(across.max()) + 1)[across.astype(int)]
    return _colored(level * np.where(seam, 0.35, tones), palette[rng.integers(len(palette))])


def _steel(side: int, rng: Generator) -> Canvas:
    brushed = value_noise((side, side), (side, 6), rng) * 0.10 + value_noise((side, side), (side, 30), rng) * 0.06
    sheen = value_noise((side, side), (3, 4), rng) * 0.22
    level = 1 + brushed + sheen
    _scratch(level, int(rng.integers(2, 14)), 0.3, rng)
    grey = rng.uniform(0.16, 0.42)
    return _colored(level, (grey, grey * 1.01, grey * rng.uniform(1.0, 1.06)))


def _mat(side: int, rng: Generator) -> Canvas:
    palette = [(0.02, 0.13, 0.10), (0.03, 0.08, 0.20), (0.06, 0.06, 0.065), (0.20, 0.20, 0.20), (0.22, 0.05, 0.06)]
    pitch = int(rng.integers(9, 20))
    level = 1 + value_noise((side, side), (side // 2, side // 2), rng) * 0.12
    level += value_noise((side, side), (5, 5), rng) * 0.15
    for step, glow in ((pitch, rng.uniform(0.1, 0.5)), (pitch * 5, rng.uniform(0.6, 1.4))):
        level[::step] += np.float32(glow)
        level[:, ::step] += np.float32(glow)
    _scratch(level, int(rng.integers(0, 20)), 0.35, rng)
    return _colored(level, palette[rng.integers(len(palette))])


def _paper(side: int, rng: Generator) -> Canvas:
    palette = [(0.74, 0.72, 0.66), (0.50, 0.35, 0.20), (0.62, 0.63, 0.64), (0.62, 0.55, 0.38)]
    level = 1 + value_noise((side, side), (side // 2, side // 2), rng) * 0.05
    level += value_noise((side, side), (6, 6), rng) * 0.07
    for _ in range(rng.integers(0, 4)):
        fold = int(rng.integers(20, side - 20))
        level[fold : fold + 2] *= 0.85
        level[fold - 2 : fold] *= 1.08
        level = level.T
    level = np.ascontiguousarray(level)
    printed = rng.random()
    if printed < 0.35:
        level[:: int(rng.integers(10, 22))] *= 0.72
    elif printed < 0.7:
        _drawing(level, rng)
    return _colored(level, palette[rng.integers(len(palette))])


def _concrete(side: int, rng: Generator) -> Canvas:
    scales = ((side, 0.16), (side // 4, 0.14), (7, 0.18))
    level = 1 + sum(value_noise((side, side), (cells, cells), rng) * weight for cells, weight in scales)
    pits = cv2.GaussianBlur((rng.random((side, side)) > 0.996).astype(np.float32), (0, 0), 1.0)
    level -= pits * np.float32(2.5)
    grey = rng.uniform(0.14, 0.34)
    return _colored(level, (grey * rng.uniform(0.98, 1.1), grey, grey * rng.uniform(0.88, 1.02)))


def _cloth(side: int, rng: Generator) -> Canvas:
    palette = [(0.10, 0.16, 0.32), (0.34, 0.08, 0.07), (0.36, 0.34, 0.30), (0.10, 0.18, 0.12), (0.05, 0.05, 0.06)]
    turns = np.arange(side, dtype=np.float32) * np.float32(2 * np.pi / rng.uniform(2.2, 3.6))
    weave = np.sin(turns[:, None]) * np.sin(turns[None, :] + turns[:, None] / 2)
    folds = value_noise((side, side), (4, 7), rng)
    slope = cv2.Sobel(folds, cv2.CV_32F, 1, 0, ksize=3) * np.float32(rng.uniform(1, 4))
    level = 1 + 0.10 * weave + 0.15 * folds + slope + value_noise((side, side), (side // 2, side // 2), rng) * 0.10
    softened = 0.4 + 1.2 / (1 + np.exp(2.5 * (1 - level)))
    return _colored(softened, palette[rng.integers(len(palette))])


_SURFACES = (_wood, _steel, _mat, _paper, _concrete, _cloth)
_SHARES = (0.26, 0.16, 0.18, 0.16, 0.14, 0.10)


def _colored(level: Plane, color: tuple[float, float, float]) -> Canvas:
    return level[..., None].astype(np.float32) * np.array(color, np.float32)


def _scratch(level: Plane, count: int, depth: float, rng: Generator) -> None:
    lines = np.zeros_like(level)
    for _ in range(count):
        ends = rng.uniform(-0.1, 1.1, (2, 2)) * level.shape[0]
        mark = float(rng.uniform(-depth, depth))
        cv2.polylines(lines, [np.round(ends * 16).astype(np.int32)], False, mark, 1, cv2.LINE_8, shift=4)
    level += lines


def _drawing(level: Plane, rng: Generator) -> None:
    """Print outlines as on a workshop drawing: circles and rectangles without a body."""
    side = level.shape[0]
    for _ in range(rng.integers(3, 9)):
        x, y, size = (int(value) for value in rng.uniform((0, 0, 10), (side, side, 50)))
        if rng.random() < 0.5:
            cv2.circle(level, (x, y), size, 0.55, 1, cv2.LINE_8)
        else:
            cv2.rectangle(level, (x, y), (x + size, y + size // 2), 0.55, 1, cv2.LINE_8)


def _stain(canvas: Canvas, rng: Generator) -> None:
    """Darken a blot of oil or the ring that a cup leaves."""
    height, width = canvas.shape[:2]
    x, y = rng.uniform(0, (width, height))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    wobble = value_noise((height, width), (6, 8), rng) * np.float32(0.35)
    distance = np.hypot(columns - np.float32(x), rows - np.float32(y)) / np.float32(rng.uniform(9, 38)) + wobble
    if rng.random() < 0.45:
        depth = np.exp(-np.square((distance - 1) / np.float32(0.14)))
    else:
        depth = 1 / (1 + np.exp(np.clip((distance - 1) * 9, -30, 30)))
    tint = rng.uniform(0.3, 0.75) * np.array([1.0, rng.uniform(0.8, 1.0), rng.uniform(0.6, 1.0)])
    canvas *= 1 - depth[..., None] * (1 - tint.astype(np.float32)) * np.float32(rng.uniform(0.4, 0.9))


def _dust(canvas: Canvas, count: int, rng: Generator) -> None:
    """Scatter filings, crumbs and sawdust, each a few pixels long."""
    height, width = canvas.shape[:2]
    bright = rng.uniform(0.02, 0.7, 3) if rng.random() < 0.4 else np.full(3, rng.uniform(0.03, 0.6))
    color = [float(value) for value in bright]
    middle, spread = rng.uniform(0, (width, height)), rng.uniform(30, 200)
    starts = rng.normal(middle, spread, (count, 2))
    ends = starts + rng.normal(0, rng.uniform(0.6, 2.2), (count, 2))
    strokes = np.round(np.stack([starts, ends], 1) * 16).astype(np.int32)
    cv2.polylines(canvas, list(strokes), False, color, 1, cv2.LINE_8, shift=4)
