"""Canvases: the windows round many pastes packed into few images, so that one forward pass checks many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import rectpack
from numpy.typing import NDArray

from pipeline.detector.inference.stream import FILL

GAP_PX = 4
"""Blank pixels between two windows."""
PACKED_AT_ONCE = 256
"""Windows that are packed together; the packer's time grows with the square, its canvases hardly get fuller."""


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


def pack_windows(sizes: Sequence[tuple[int, int]], canvas_px: int) -> list[list[Tile]]:
    """Pack windows into square canvases without turning them.

    Args:
        sizes: Width and height of each window, pixels.
        canvas_px: Side of a canvas; a window that is larger gets a canvas of its own.

    Returns:
        The tiles of each canvas; every window is in exactly one.
    """
    alone = [index for index, size in enumerate(sizes) if max(size) + GAP_PX > canvas_px]
    small = [index for index, size in enumerate(sizes) if max(size) + GAP_PX <= canvas_px]
    groups = (small[start : start + PACKED_AT_ONCE] for start in range(0, len(small), PACKED_AT_ONCE))
    packed = (canvas for group in groups for canvas in _pack(group, sizes, canvas_px))
    return [*packed, *([Tile(index, 0, 0)] for index in alone)]


def _pack(group: Sequence[int], sizes: Sequence[tuple[int, int]], canvas_px: int) -> list[list[Tile]]:
    packer = rectpack.newPacker(
        mode=rectpack.PackingMode.Offline,
        bin_algo=rectpack.PackingBin.BFF,
        pack_algo=rectpack.GuillotineBssfSas,
        sort_algo=rectpack.SORT_LSIDE,
        rotation=False,
    )
    packer.add_bin(canvas_px, canvas_px, count=float("inf"))
    for index in group:
        packer.add_rect(*(side + GAP_PX for side in sizes[index]), rid=index)
    packer.pack()
    canvases: dict[int, list[Tile]] = {}
    for number, x, y, _width, _height, index in packer.rect_list():
        canvases.setdefault(number, []).append(Tile(index, x, y))
    return list(canvases.values())


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
