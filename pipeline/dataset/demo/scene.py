"""One image of a bench: what lies where, what is seen of it, and the exact boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pipeline.dataset.demo.bench import draw_bench
from pipeline.dataset.demo.camera import Pixels, photograph
from pipeline.dataset.demo.catalog import CLUTTER, Kind, choose_things
from pipeline.dataset.demo.pile import Corners, Part, Pile
from pipeline.dataset.demo.relief import Grid, Pose
from pipeline.dataset.demo.shading import Light, Patch, render

WIDTH, HEIGHT = 320, 240
"""Size of every image in pixels."""

_TRIES = 25


@dataclass(frozen=True, slots=True)
class Scene:
    """An image and its truth.

    Attributes:
        pixels: What the camera stores, `[HEIGHT, WIDTH, 3]`.
        parts: Every labeled part, lowest first.
    """

    pixels: Pixels
    parts: tuple[Part, ...]


def draw_scene(difficulty: float, rng: Generator, *, cover: bool = False) -> Scene:
    """Compose and photograph one bench.

    Args:
        difficulty: Scales clutter, overlap, light and noise, 0 to 1.
        rng: Drives everything; the same state gives the same image.
        cover: Lay clutter over one end of each part where that hides no part too much.

    Returns:
        The image and its parts; no parts at all in about one image of 25.
    """
    light = Light(
        azimuth=rng.uniform(0, 2 * np.pi),
        elevation=rng.uniform(0.6, 1.25),
        ambient=rng.uniform(0.25, 0.55),
        strip=rng.uniform(0, 2 * np.pi),
        hardness=rng.uniform(0, 1),
    )
    pile = Pile(draw_bench(WIDTH, HEIGHT, difficulty, rng), light)
    zoom, tilt, tilt_axis = rng.uniform(0.95, 1.6), rng.uniform(0.84, 1.0), rng.uniform(0, np.pi)

    def make(kind: Kind) -> Patch:
        view = Pose(rng.uniform(*kind.half_length_px) * zoom, rng.uniform(0, 2 * np.pi), tilt, tilt_axis)
        grid = Grid(view)
        return render(kind.draw(grid, rng), grid.pixel, light, rng)

    for kind in choose_things(difficulty, rng):
        patch = make(kind)
        place = _find_place(pile, patch, difficulty, rng)
        if place:
            pile.put(patch, *place, kind.label, lift_px=rng.uniform(1.5, 4.0) * zoom)
    for part in pile.parts() if cover else ():
        patch = make(CLUTTER[rng.integers(len(CLUTTER))])
        place = _find_end(pile, patch, part.box, rng)
        if place:
            pile.put(patch, *place, "", lift_px=rng.uniform(1.5, 4.0) * zoom)
    return Scene(photograph(pile.canvas, light, difficulty, rng), pile.parts())


def _find_place(pile: Pile, patch: Patch, difficulty: float, rng: Generator) -> tuple[int, int] | None:
    """Left and top where nothing below is hidden too much; mostly clear of parts; None where there is no room."""
    height, width = patch.alpha.shape
    most = 0.6 if rng.random() < 0.5 * difficulty else 0.02
    for _ in range(_TRIES):
        left = int(rng.integers(-width // 2, WIDTH - width // 2))
        top = int(rng.integers(-height // 2, HEIGHT - height // 2))
        if pile.overlap(patch, left, top) <= most and pile.fits(patch, left, top):
            return left, top
    return None


def _find_end(pile: Pile, patch: Patch, box: Corners, rng: Generator) -> tuple[int, int] | None:
    """Left and top of what lies over the middle of one side of a box; None where that hides too much."""
    height, width = patch.alpha.shape
    x1, y1, x2, y2 = box
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    ends = [(x1, y), (x2, y), (x, y1), (x, y2)]
    for end in rng.permutation(4).tolist():
        left, top = ends[end][0] - width // 2, ends[end][1] - height // 2
        if pile.fits(patch, left, top):
            return left, top
    return None
