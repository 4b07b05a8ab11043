"""Bolts, nuts and washers, each with the variety that a real drawer of them has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from pipeline.dataset.demo import materials
from pipeline.dataset.demo.materials import Material, pick_metal
from pipeline.dataset.demo.relief import SUPERSAMPLING, Grid, Layer, Plane, bevel, polygon, rod, slab


def draw_bolt(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a bolt on its side: hexagon, cap or pan head, partly or fully threaded."""
    metal = pick_metal(rng)
    radius = rng.uniform(0.11, 0.19)
    head_length = radius * rng.uniform(1.1, 1.9)
    head_end = head_length - 1
    thread_start = head_end if rng.random() < 0.5 else rng.uniform(head_end, 0.3)
    shank = draw_threaded_rod(grid, metal, (head_end - 0.03, 1.0), radius, thread_start, rng)
    return [replace(shank, telling=False), *_bolt_head(grid, metal, head_length, radius, rng)]


def draw_nut(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a nut from above: hexagonal or square, chamfered, plain, flanged or with a nylon ring."""
    metal = pick_metal(rng)
    form = rng.choice(["plain", "flanged", "locking", "square"], p=[0.58, 0.12, 0.18, 0.12])
    sides = 4 if form == "square" else 6
    corner = 0.76 if form == "flanged" else 0.98
    flat = corner * np.cos(np.pi / sides)
    hole = flat * rng.uniform(0.55, 0.68)
    outline, bore = polygon(grid.u, grid.v, sides, flat), hole - grid.radius
    chamfer = np.clip((flat * 1.03 - grid.radius) * 0.8, -0.2, 0)
    height = bevel(outline, 0.06) + chamfer + bevel(bore, 0.1)
    layers = [Layer(grid.cover(np.maximum(outline, bore)), height, metal)]
    if form == "flanged":
        disc = np.maximum(grid.radius - 0.98, bore)
        shadowed = np.clip(0.35 + outline * 6, 0, 1)
        layers.insert(0, Layer(grid.cover(disc), bevel(grid.radius - 0.98, 0.25), metal, shadowed))
    layers.append(_inner_thread(grid, metal, hole))
    if form == "locking":
        ring = np.abs(grid.radius - hole) - hole * 0.17
        plastic = materials.BLUE_NYLON if rng.random() < 0.5 else materials.NYLON
        layers.append(Layer(grid.cover(ring), bevel(ring, hole * 0.17), plastic))
    return layers


def draw_washer(grid: Grid, rng: Generator) -> list[Layer]:
    """Draw a washer: flat with a narrow or wide rim, or a split spring washer."""
    metal = pick_metal(rng)
    hole = rng.uniform(0.36, 0.66)
    band = np.maximum(grid.radius - 0.98, hole - grid.radius)
    turned = 1 + np.float32(0.06) * np.sin(grid.radius * np.float32(rng.uniform(30, 60)))
    height = bevel(band, rng.uniform(0.03, 0.1))
    if rng.random() < 0.25:
        slit = slab(grid.u - 0.8, grid.v + 0.4 * (grid.u - 0.8), 0.5, 0.05)
        band = np.maximum(band, -slit)
        height = bevel(band, 0.14) + np.arctan2(grid.v, -grid.u) * np.float32(0.06)
    return [Layer(grid.cover(band), height, metal, turned)]


def draw_threaded_rod(
    grid: Grid, metal: Material, ends: tuple[float, float], radius: float, thread_start: float, rng: Generator
) -> Layer:
    """Draw a round bar along the long side of the grid with a thread from `thread_start` to its far end.

    Args:
        grid: Where to draw.
        metal: What it is made of.
        ends: Where it begins and ends.
        radius: Half its thickness.
        thread_start: Where the thread begins.
        rng: Drives the pitch.

    Returns:
        The bar.
    """
    pitch = max(radius * rng.uniform(0.38, 0.6), grid.pixel * 2.2 * SUPERSAMPLING)
    turn = grid.u / np.float32(pitch) + grid.v * np.float32(0.5 / (2 * radius))
    groove = np.abs(np.mod(turn, 1) - np.float32(0.5)) * 2
    threaded = grid.u > thread_start
    depth = np.where(threaded, groove, np.float32(0)) * np.float32(0.2 * radius)
    chamfer = np.clip(grid.u - np.float32(ends[1] - 0.5 * radius), 0, None) * np.float32(0.6)
    thickness = np.float32(radius) - depth - chamfer
    outline = np.maximum.reduce([np.abs(grid.v) - thickness, ends[0] - grid.u, grid.u - ends[1]])
    shade = 1 - np.where(threaded, groove, np.float32(0)) * np.float32(0.45)
    return Layer(grid.cover(outline), rod(grid.v, thickness), metal, shade)


def _bolt_head(grid: Grid, metal: Material, length: float, radius: float, rng: Generator) -> list[Layer]:
    form = rng.choice(["hexagon", "cap", "pan"], p=[0.6, 0.22, 0.18])
    half_width = radius * rng.uniform(1.75, 2.1)
    outline = slab(grid.u + 1 - length / 2, grid.v, length / 2, half_width, 0.3 * radius)
    if form == "hexagon":
        facets = np.minimum(half_width * 0.5, (half_width - np.abs(grid.v)) * 0.9)
        return [Layer(grid.cover(outline), facets + bevel(outline, 0.05), metal)]
    if form == "cap":
        ribs = np.sin(np.arcsin(np.clip(grid.v / half_width, -1, 1)) * 14) * 0.12
        return [Layer(grid.cover(outline), rod(grid.v, half_width), metal, 0.85 + ribs)]
    from_shank = (grid.u - (length - 1)) / np.float32(length)
    dome = np.hypot(from_shank, grid.v / np.float32(half_width))
    outline = np.maximum(dome - 1, from_shank) * np.float32(min(length, half_width))
    return [Layer(grid.cover(outline), rod(dome, 1.0) * np.float32(half_width), metal)]


def _inner_thread(grid: Grid, metal: Material, hole: float) -> Layer:
    ring = np.maximum(grid.radius - hole, hole * 0.8 - grid.radius)
    depth = (hole - grid.radius) / np.float32(hole * 0.2)
    slope: Plane = -bevel(grid.radius - hole, hole * 0.2)
    return Layer(grid.cover(ring), slope, metal, 0.5 - 0.3 * np.clip(depth, 0, 1))
