"""Canvases: the windows round many pastes packed into few images, so that one forward pass checks many."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.detector.inference.stream import FILL

STEP_PX = 32
"""Sides of canvases differ by so much; detectors look at whole cells of up to this size."""
TRIED = 256
"""Windows that are put on shelves to choose a side; of more, so many stand for the others."""


@dataclass(frozen=True)
class Tile:
    """Where one window lies.

    Attributes:
        index: Which window.
        x: Left edge on its canvas, pixels.
        y: Top edge on its canvas, pixels.
    """

    index: int
    x: int
    y: int


def choose_side(sizes: Sequence[tuple[int, int]], usual_px: int) -> int:
    """Choose the side of the canvases that leaves least of them empty.

    Windows of one size fill a canvas only if its side is about a multiple of theirs, and a few windows only if it is
    small.

    Args:
        sizes: Width and height of each window, pixels.
        usual_px: The detector's own size; from half of it to a quarter more is tried.

    Returns:
        Pixels; the largest of several that are equally good.
    """
    each = -(-len(sizes) // TRIED)
    tried = sorted(sizes)[:: max(1, each)]
    sides = range(-(-usual_px // 2 // STEP_PX) * STEP_PX, usual_px * 5 // 4 + 1, STEP_PX)
    longest = max((max(size) for size in sizes), default=0)
    fitting = [side for side in sides if longest <= side]

    def pixels(side: int) -> int:
        shelves = _shelves(range(len(tried)), tried, side)
        heights = [shelf.height for shelf in shelves for _ in range(each)]
        return side**2 * max((number + 1 for number, _ in _stacked(heights, side)), default=0)

    return min(fitting, key=lambda side: (pixels(side), -side), default=usual_px)


def pack_windows(sizes: Sequence[tuple[int, int]], canvas_px: int) -> list[list[Tile]]:
    """Pack windows into square canvases without turning them.

    Args:
        sizes: Width and height of each window, pixels.
        canvas_px: Side of a canvas; a window that is larger gets a canvas of its own.

    Returns:
        The tiles of each canvas; every window is in exactly one.
    """
    alone = [index for index, size in enumerate(sizes) if max(size) > canvas_px]
    small = [index for index, size in enumerate(sizes) if max(size) <= canvas_px]
    shelves = _shelves(small, sizes, canvas_px)
    canvases: list[list[Tile]] = []
    for shelf, (number, y) in zip(shelves, _stacked([shelf.height for shelf in shelves], canvas_px), strict=True):
        canvases += [[] for _ in range(number - len(canvases) + 1)]
        canvases[number] += [Tile(index, x, y) for index, x in shelf.windows]
    return [*canvases, *([Tile(index, 0, 0)] for index in alone)]


@dataclass(frozen=True)
class _Shelf:
    """Windows side by side.

    Attributes:
        height: Of the highest.
        windows: Which they are, and the left edge of each.
    """

    height: int
    windows: list[tuple[int, int]] = field(default_factory=list)


def _shelves(indices: Sequence[int], sizes: Sequence[tuple[int, int]], canvas_px: int) -> list[_Shelf]:
    """Put windows on shelves, the highest first, each on the fullest shelf that has room."""
    shelves: list[_Shelf] = []
    rooms: list[tuple[int, int]] = []  # how much room each shelf has, ascending, and its number
    for index in sorted(indices, key=lambda index: (-sizes[index][1], -sizes[index][0], index)):
        width, height = sizes[index]
        place = bisect_left(rooms, (width, 0))
        if place == len(rooms):
            shelves.append(_Shelf(height))
            rooms.append((canvas_px, len(shelves) - 1))
        room, number = rooms.pop(place)
        shelves[number].windows.append((index, canvas_px - room))
        insort(rooms, (room - width, number))
    return shelves


def _stacked(heights: Sequence[int], canvas_px: int) -> Iterator[tuple[int, int]]:
    """Number of the canvas and top edge of each shelf, the highest first; each goes where there is room first."""
    filled: list[int] = []
    for height in heights:
        number = next((number for number, used in enumerate(filled) if used + height <= canvas_px), len(filled))
        filled += [0] * (number - len(filled) + 1)
        yield number, filled[number]
        filled[number] += height


def draw_canvas(tiles: Sequence[Tile], windows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Lay windows on one canvas.

    Args:
        tiles: What goes where.
        windows: uint8[h, w, 3] each, by `Tile.index`.

    Returns:
        uint8[H, W, 3], just large enough, grey between the windows.
    """
    width = max(tile.x + windows[tile.index].shape[1] for tile in tiles)
    height = max(tile.y + windows[tile.index].shape[0] for tile in tiles)
    canvas = np.full((height, width, 3), FILL, dtype=np.uint8)
    for tile in tiles:
        window = windows[tile.index]
        canvas[tile.y : tile.y + window.shape[0], tile.x : tile.x + window.shape[1]] = window
    return canvas


def in_batches(canvases: Sequence[list[Tile]], size: int) -> Iterator[list[list[Tile]]]:
    """Cut a list of canvases into batches.

    Args:
        canvases: In order.
        size: Canvases a batch.

    Yields:
        At most `size` at a time.
    """
    for start in range(0, len(canvases), size):
        yield list(canvases[start : start + size])
