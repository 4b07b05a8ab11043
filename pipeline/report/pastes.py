"""Pastes drawn again from their records: the source, the hosts with the object in them, and what was found there."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from pipeline.errors import ImageFault
from pipeline.report.tiles import Album, Corners, Mark, Pixels, Tile, image, laid, unreadable
from pipeline.report.wording import file_name, share

_READ_PX = 1280
_SURROUNDINGS = 1.6
_LEAST_VIEW = 0.3


def render_paste(
    source_pixels: Pixels, proposal_box: Corners, host_pixels: Pixels, paste_box: Corners, margin: float
) -> Pixels:
    """Cut an object out of one image and put it hard into another.

    Args:
        source_pixels: `[H, W, 3]`, the image that holds the object.
        proposal_box: The object, in pixels of `source_pixels`.
        host_pixels: `[H', W', 3]`, the image that receives it; left as it is.
        paste_box: Where the object shall lie, in pixels of `host_pixels`; parts outside are cut.
        margin: Context that goes with the object, as a share of its sides, as far as the source reaches.

    Returns:
        `[H', W', 3]`, a new image.

    Raises:
        ValueError: A box has no area.
    """
    for name, (x1, y1, x2, y2) in (("proposal_box", proposal_box), ("paste_box", paste_box)):
        if not (x1 < x2 and y1 < y2):
            raise ValueError(f"Expected {name} with x1 < x2 and y1 < y2, got {(x1, y1, x2, y2)}")
    height, width = source_pixels.shape[:2]
    crop = _grown(proposal_box, margin, width, height)
    left, top, right, bottom = (round(value) for value in _mapped(crop, proposal_box, paste_box))
    size = (max(right - left, 1), max(bottom - top, 1))
    scene = Image.fromarray(host_pixels)
    scene.paste(Image.fromarray(source_pixels).resize(size, Image.Resampling.BILINEAR, box=crop), (left, top))
    return np.asarray(scene)


def paste_tiles(album: Album, proposal: dict[str, Any], checks: list[dict[str, Any]], side_px: int) -> tuple[Tile, ...]:
    """Show one proposal and its pastes, each image cut to the surroundings of the object.

    Args:
        album: Holds the proposal's image and the hosts.
        proposal: A row of `SELECTION_SCHEMA`.
        checks: Its rows of `CHECK_SCHEMA`.
        side_px: Longest side of each tile in pixels.

    Returns:
        The source, then a tile a paste; an image that cannot be read gives a tile that says why.
    """
    image_id = proposal["image_id"]
    subject = file_name(album.uri(image_id))
    try:
        pixels = album.pixels(image_id, _READ_PX)
    except ImageFault as fault:
        return (unreadable(subject, fault, "source"),)
    box = _scaled(_corners(proposal), pixels, album.size(image_id))
    mark = Mark("paste", 0, 0, 0, 0, proposal["label"], f"the {proposal['label']} that was cut out")
    source = _cut(pixels, box, [(box, mark)], side_px, f"source {subject}", "source")
    return (source, *(_host_tile(album, pixels, box, check, side_px) for check in checks))


def _host_tile(album: Album, source: Pixels, box: Corners, check: dict[str, Any], side_px: int) -> Tile:
    host_id = check["host_id"]
    subject = f"host {file_name(album.uri(host_id))}"
    caption = _verdict(check)
    try:
        pixels = album.pixels(host_id, _READ_PX)
    except ImageFault as fault:
        return unreadable(subject, fault, caption)
    place = _scaled(_corners(check, "paste_"), pixels, album.size(host_id))
    marks = [(place, Mark("paste", 0, 0, 0, 0, tip="where the object was pasted"))]
    if check["x1"] is not None:
        found = Mark("found", 0, 0, 0, 0, share(check["score"]), caption)
        marks.append((_scaled(_corners(check), pixels, album.size(host_id)), found))
    return _cut(render_paste(source, box, pixels, place, check["margin"]), place, marks, side_px, subject, caption)


def _verdict(check: dict[str, Any]) -> str:
    if check["x1"] is None:
        return "not found again"
    verdict = "found again" if check["hit"] else "found too loosely"
    return f"{verdict}: {share(check['score'])}, IoU {share(check['iou'])}"


def _cut(
    pixels: Pixels, centre: Corners, boxes: list[tuple[Corners, Mark]], side_px: int, subject: str, caption: str
) -> Tile:
    height, width = pixels.shape[:2]
    view = _surroundings(centre, width, height)
    part = Image.fromarray(pixels).crop(view)
    part.thumbnail((side_px, side_px))
    marks = [laid(mark, corners, view) for corners, mark in boxes]
    return image(np.asarray(part), subject, marks, caption)


def _surroundings(box: Corners, width: int, height: int) -> tuple[int, int, int, int]:
    """A square window round a box, moved and shrunk to lie in the image."""
    wanted = max(2 * _SURROUNDINGS * max(box[2] - box[0], box[3] - box[1]), _LEAST_VIEW * min(width, height))
    across, down = min(round(wanted), width), min(round(wanted), height)
    left = min(max(round((box[0] + box[2] - across) / 2), 0), width - across)
    top = min(max(round((box[1] + box[3] - down) / 2), 0), height - down)
    return left, top, left + across, top + down


def _grown(box: Corners, margin: float, width: int, height: int) -> Corners:
    x1, y1, x2, y2 = box
    across, down = margin * (x2 - x1), margin * (y2 - y1)
    return max(x1 - across, 0.0), max(y1 - down, 0.0), min(x2 + across, width), min(y2 + down, height)


def _mapped(box: Corners, source: Corners, target: Corners) -> Corners:
    """Carry a box by the map that takes `source` to `target`."""
    x_factor = (target[2] - target[0]) / (source[2] - source[0])
    y_factor = (target[3] - target[1]) / (source[3] - source[1])
    x_shift, y_shift = target[0] - source[0] * x_factor, target[1] - source[1] * y_factor
    x1, y1, x2, y2 = box
    return x1 * x_factor + x_shift, y1 * y_factor + y_shift, x2 * x_factor + x_shift, y2 * y_factor + y_shift


def _scaled(box: Corners, pixels: Pixels, full: tuple[int, int]) -> Corners:
    return _mapped(box, (0, 0, *full), (0, 0, pixels.shape[1], pixels.shape[0]))


def _corners(row: dict[str, Any], prefix: str = "") -> Corners:
    x1, y1, x2, y2 = (float(row[f"{prefix}{name}"]) for name in ("x1", "y1", "x2", "y2"))
    return x1, y1, x2, y2
