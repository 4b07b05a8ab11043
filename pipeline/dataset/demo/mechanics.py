"""Gears, keys and springs, each in several builds."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.dataset.demo import materials
from pipeline.dataset.demo.materials import Material, pick_metal
from pipeline.dataset.demo.relief import SUPERSAMPLING, Grid, Layer, Plane, bevel, polygon, rod, slab


def draw_gear(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a spur gear: solid, webbed, drilled or spoked, sometimes of plastic."""
    stuff = materials.NYLON if rng.random() < 0.15 else pick_metal(rng)
    teeth = int(rng.integers(10, 23))
    root = 1 - rng.uniform(2.2, 2.8) / teeth
    angle = np.arctan2(grid.v, grid.u)
    profile = np.clip(0.5 + 0.95 * np.cos(angle * np.float32(teeth)), 0, 1)
    outline = (grid.radius - (root + (0.99 - root) * profile)) * np.float32(0.8)
    bore = rng.uniform(0.10, 0.24)
    solid = np.maximum(outline, bore - grid.radius)
    if rng.random() < 0.5:
        solid = np.maximum(solid, -slab(grid.u - bore, grid.v, bore * 0.4, bore * 0.3))
    height = bevel(outline, 0.05) + bevel(bore - grid.radius, 0.05)
    hub, rim = bore + rng.uniform(0.08, 0.16), root - rng.uniform(0.08, 0.16)
    if rng.random() < 0.75 and rim - hub > 0.15:
        height -= bevel(np.maximum(hub - grid.radius, grid.radius - rim), 0.07)
        solid = np.maximum(solid, -_windows(grid, hub, rim, rng))
    return [Layer(grid.cover(solid), height, stuff)]


def draw_key(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a key: flat with a cut blade and one of four bows, or old with a ring and a bit."""
    metal = pick_metal(rng)
    if rng.random() < 0.2:
        return _old_key(grid, metal, rng)
    width = rng.uniform(0.11, 0.16)
    cuts = np.append(width * rng.uniform(0.1, 1.0, 8), -0.6 * width)
    cut = np.interp(grid.u, np.linspace(-0.2, 0.92, 9), cuts).astype(np.float32)
    back = cut if rng.random() < 0.3 else np.full_like(cut, width)
    tip = grid.u - 0.98 + np.abs(grid.v) * np.float32(0.7)
    blade = np.maximum.reduce([grid.v - cut, -grid.v - back, tip, -0.5 - grid.u])
    bow = _bow(grid, rng)
    past_hole = rng.uniform(0.07, 0.13) - np.hypot(grid.u + rng.uniform(0.70, 0.80), grid.v)
    outline = np.maximum(np.minimum(blade, bow), past_hole)
    groove = bevel(slab(grid.u - 0.2, grid.v + width * 0.15, 0.62, width * 0.2), 0.04)
    layers = [Layer(grid.cover(outline), bevel(outline, 0.05) - groove, metal)]
    if rng.random() < 0.25:
        cap = np.maximum(bow - 0.02, past_hole)
        layers.append(Layer(grid.cover(cap), bevel(cap, 0.12), materials.DARK_PLASTIC))
    return layers


def draw_spring(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a coil spring on its side, with open ends or hooks."""
    metal = pick_metal(rng)
    radius = rng.uniform(0.20, 0.34)
    wire = radius * rng.uniform(0.13, 0.22)
    hooked = rng.random() < 0.35
    reach = 0.98 - wire - (radius if hooked else 0)
    turns = max(4, round(2 * reach / (wire * rng.uniform(3.0, 6.0))))
    phase = np.linspace(0, 2 * np.pi * turns, turns * 24 + 1)
    helix = np.stack([reach * (phase / (np.pi * turns) - 1), radius * np.sin(phase)], 1)
    quarters = np.arange(1, turns * 4, 2) * 6
    strands = [helix[start : start + 13] for start in quarters]
    layers = [draw_wire(grid, wire, metal, 0.45, strands[0::2]), draw_wire(grid, wire, metal, 1.0, strands[1::2])]
    if hooked:
        turn = np.linspace(-0.4 * np.pi, 0.75 * np.pi, 20)
        hook = np.stack([reach + 0.9 * radius * np.cos(turn), 0.7 * radius * np.sin(turn)], 1)
        layers.append(draw_wire(grid, wire, metal, 1.0, [hook, -hook]))
    return layers


def draw_wire(grid: Grid, radius: float, stuff: Material, shade: float, lines: list[NDArray[np.floating]]) -> Layer:
    """Draw round wire along polylines.

    Args:
        grid: Where to draw.
        radius: Half its thickness; drawn no thinner than an image pixel, or it would fall between pixels.
        stuff: What it is made of.
        shade: Light that reaches it, 1 = all.
        lines: Points of each piece in the object's frame, `[N, 2]`.

    Returns:
        All pieces as one layer.
    """
    distance = grid.distance_to(*lines)
    radius = max(radius, 0.6 * SUPERSAMPLING * grid.pixel)
    return Layer(grid.cover(distance - np.float32(radius)), rod(distance, radius), stuff, shade)


def _windows(grid: Grid, hub: float, rim: float, rng: Generator) -> Plane:
    """Signed distance from the openings in a gear's web; positive everywhere where it has none."""
    build = rng.choice(["solid", "drilled", "spoked"], p=[0.4, 0.35, 0.25])
    count = int(rng.integers(3, 7))
    sector = np.float32(2 * np.pi / count)
    turn = np.mod(np.arctan2(grid.v, grid.u), sector) - sector / 2
    if build == "solid":
        return np.ones_like(grid.u)
    if build == "drilled":
        middle = (hub + rim) / 2
        size = min((rim - hub) * 0.32, 0.7 * np.sin(np.pi / count) * middle)
        away: Plane = np.hypot(grid.radius * np.cos(turn) - middle, grid.radius * np.sin(turn))
        return away - np.float32(size)
    spoke = grid.radius * np.sin(sector / 2 - np.abs(turn)) - 0.06
    opening: Plane = np.maximum.reduce([hub - grid.radius, grid.radius - rim, -spoke])
    return opening


def _bow(grid: Grid, rng: Generator) -> Plane:
    """Signed distance from the part of a key that fingers hold."""
    u, v, size = grid.u + 0.58, grid.v, rng.uniform(0.34, 0.40)
    form = rng.choice(["round", "oval", "square", "hexagon"])
    if form in {"round", "oval"}:
        away: Plane = np.hypot(u, v * np.float32(0.8 if form == "oval" else 1.0))
        return away - np.float32(size)
    if form == "square":
        return slab(u, v, size, size * rng.uniform(0.85, 1.1), 0.12)
    return polygon(u, v, 6, size)


def _old_key(grid: Grid, metal: Material, rng: Generator) -> list[Layer]:
    bow = np.abs(np.hypot((grid.u + 0.66) * np.float32(0.9), grid.v) - 0.25)
    shaft = np.maximum(np.abs(grid.v), np.abs(grid.u - 0.28) - 0.62)
    distance = np.minimum(bow, shaft)
    bit = slab(grid.u - 0.68, grid.v - 0.18, rng.uniform(0.12, 0.18), 0.17)
    notch = slab(grid.u - rng.uniform(0.62, 0.74), grid.v - 0.28, 0.035, 0.1)
    plate = np.maximum(bit, -notch)
    return [
        Layer(grid.cover(distance - 0.07), rod(distance, 0.07), metal, telling=False),
        Layer(grid.cover(plate), bevel(plate, 0.04), metal),
    ]
