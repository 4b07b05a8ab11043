"""Things on the bench that nobody labels, some of them much like the parts."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.dataset.demo import materials
from pipeline.dataset.demo.fasteners import draw_threaded_rod
from pipeline.dataset.demo.materials import Material, pick_metal, pick_plastic
from pipeline.dataset.demo.mechanics import draw_wire
from pipeline.dataset.demo.relief import Grid, Layer, bevel, rod, slab


def draw_stud(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a threaded bar without a head."""
    return [draw_threaded_rod(grid, pick_metal(rng), (-1.0, 1.0), rng.uniform(0.09, 0.16), -1.0, rng)]


def draw_nail(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a nail: thin, smooth, pointed, with a small flat head."""
    metal, radius = pick_metal(rng), rng.uniform(0.035, 0.06)
    thickness = np.minimum(np.float32(radius), (0.99 - grid.u) * np.float32(0.4))
    shank = np.maximum(np.abs(grid.v) - thickness, -0.97 - grid.u)
    head = slab(grid.u + 0.96, grid.v, 0.025, radius * 2.4, 0.02)
    return [
        Layer(grid.cover(shank), rod(grid.v, radius), metal),
        Layer(grid.cover(head), rod(grid.v, radius * 2.4), metal),
    ]


def draw_coin(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a coin or blank: a disc without a hole, embossed inside a raised rim."""
    disc = grid.radius - 0.98
    field = grid.radius - np.float32(rng.uniform(0.78, 0.9))
    turns = np.linspace(0, 2 * np.pi, 6) + rng.uniform(0, 6)
    figure = np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(0.15, 0.6, (6, 1))
    embossed = np.maximum(0.1 - grid.distance_to(figure), 0)
    return [Layer(grid.cover(disc), bevel(disc, 0.05) - bevel(field, 0.05) + embossed * 0.6, pick_metal(rng))]


def draw_o_ring(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a sealing ring: round in section, of rubber or plastic."""
    stuff = materials.RUBBER if rng.random() < 0.7 else pick_plastic(rng)
    thickness = rng.uniform(0.07, 0.16)
    middle = np.abs(grid.radius - np.float32(0.98 - thickness))
    return [Layer(grid.cover(middle - np.float32(thickness)), rod(middle, thickness), stuff)]


def draw_knob(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a ribbed cap of plastic: toothed at the edge as a gear is, but closed and domed."""
    ribs = int(rng.integers(16, 30))
    edge = 0.95 + 0.03 * np.cos(np.arctan2(grid.v, grid.u) * np.float32(ribs))
    outline = grid.radius - edge
    face = grid.radius - np.float32(rng.uniform(0.6, 0.75))
    return [Layer(grid.cover(outline), bevel(outline, 0.2) + bevel(face, 0.06), pick_plastic(rng))]


def draw_bracket(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a flat plate with screw holes."""
    half_width = rng.uniform(0.18, 0.4)
    plate = slab(grid.u, grid.v, 0.9, half_width, rng.uniform(0.02, 0.15))
    for place in np.linspace(-0.7, 0.7, int(rng.integers(2, 5))):
        plate = np.maximum(plate, np.float32(half_width * 0.35) - np.hypot(grid.u - np.float32(place), grid.v))
    return [Layer(grid.cover(plate), bevel(plate, 0.03), pick_metal(rng))]


def draw_pencil(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a pencil stub."""
    radius = rng.uniform(0.06, 0.1)
    paint, lead = pick_plastic(rng), materials.RUBBER
    facets = np.minimum(radius * 0.5, (radius - np.abs(grid.v)) * 0.9)
    cone = np.minimum(np.float32(radius), (0.99 - grid.u) * np.float32(0.28))
    body = np.maximum(slab(grid.u + 0.15, grid.v, 0.83, radius), grid.u - 0.68 - 0.04 * np.cos(grid.v * 90))
    wood = np.maximum(np.abs(grid.v) - cone, 0.6 - grid.u)
    return [
        Layer(grid.cover(wood), rod(grid.v, radius), materials.PALE_WOOD),
        Layer(grid.cover(np.maximum(wood, 0.86 - grid.u)), rod(grid.v, radius), lead),
        Layer(grid.cover(body), facets, paint),
    ]


def draw_cable(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a piece of insulated wire with a bare end."""
    line = _bent_line(rng, points=60, curl=2.5)
    radius = rng.uniform(0.03, 0.06)
    return [
        draw_wire(grid, radius * 0.5, materials.COPPER, 1.0, [line]),
        draw_wire(grid, radius, pick_plastic(rng), 1.0, [line[:-7]]),
    ]


def draw_shaving(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a curl of swarf or planed wood: a spiral that springs are mistaken for."""
    stuff = materials.PALE_WOOD if rng.random() < 0.5 else pick_metal(rng)
    turns = rng.uniform(1.5, 4.0)
    phase = np.linspace(0, 2 * np.pi * turns, 120)
    swing = np.linspace(0.12, rng.uniform(0.2, 0.5), 120)
    along = np.linspace(-0.85, 0.75, 120) * rng.uniform(0.6, 1.0)
    curl = np.stack([along + swing * 0.4 * np.cos(phase), swing * np.sin(phase)], 1)
    return [draw_wire(grid, rng.uniform(0.03, 0.07), stuff, 0.9, [curl])]


def draw_hex_key(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw an L-shaped hexagon key."""
    radius = rng.uniform(0.05, 0.09)
    bend = np.linspace(0, np.pi / 2, 8)
    corner = np.stack([-0.75 + 0.15 * (1 - np.sin(bend)), -0.25 + 0.15 * (1 - np.cos(bend))], 1)
    line = np.concatenate([[[0.9, -0.25]], corner, [[-0.75, rng.uniform(0.2, 0.5)]]])
    distance = grid.distance_to(line)
    facets = np.minimum(radius * 0.5, (radius - distance) * 0.9)
    return [Layer(grid.cover(distance - np.float32(radius)), facets, materials.BLACK_OXIDE)]


def draw_label(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a scrap of paper or tape with writing on it."""
    half_width = rng.uniform(0.25, 0.7)
    sheet = slab(grid.u, grid.v, 0.8, half_width)
    layers = [Layer(grid.cover(sheet), np.zeros_like(grid.u), _tinted_paper(rng))]
    rows = np.arange(-half_width + 0.15, half_width - 0.1, 0.18)
    lines = [np.array([[-0.65, row], [rng.uniform(-0.2, 0.65), row]]) for row in rows]
    ink = grid.distance_to(*lines) - np.float32(0.025)
    return [*layers, Layer(grid.cover(ink), np.zeros_like(grid.u), materials.DARK_PLASTIC)]


def _tinted_paper(rng: Generator) -> Material:
    red, green, blue = (float(share) for share in rng.uniform(0.45, 0.8, 3))
    return Material((red, green, blue), False, 0.05, 0.05) if rng.random() < 0.4 else materials.PAPER


def _bent_line(rng: Generator, points: int, curl: float) -> NDArray[np.float64]:
    """A smooth line of random curvature, centred and scaled into the unit disc."""
    heading = np.cumsum(np.repeat(rng.normal(0, curl / 6, 6), points // 6) / (points / 12))
    line = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), 0)
    line -= line.mean(0)
    scaled: NDArray[np.float64] = line / np.linalg.norm(line, axis=1).max() * 0.95
    return scaled
