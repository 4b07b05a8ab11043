"""Tiles of the report as plain images, their marks drawn in: for notebooks and for the pages in `docs/`."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from pipeline.report.cards import Card
from pipeline.report.tiles import PlacedMark, Tile

_COLORS = {
    "pseudo": "#1e88e5",
    "ask": "#ffa000",
    "drop": "#3d3d3d",
    "ignore": "#f2f2f2",
    "paste": "#d81b9a",
    "redetection": "#ffe100",
}
"""Of marks, as in `templates/style.css`."""
_WHITE_ON = {"pseudo", "drop", "paste"}
_PAGE, _INK, _NO_IMAGE = "#ffffff", "#16191d", "#d5d9de"
_GAP_PX = 8
_FONT_PX = 11
_LINE_PX = 16


@dataclass(frozen=True)
class DrawnCard:
    """A card of a gallery.

    Attributes:
        heading: What it shows.
        lines: What is known of it.
        image: Its tiles side by side.
    """

    heading: str
    lines: tuple[str, ...]
    image: Image.Image


def draw_card(card: Card, height_px: int = 200) -> DrawnCard:
    """Draw a card of a gallery, its tiles at one height."""
    return DrawnCard(card.heading, card.lines, strip(card.tiles, height_px))


def draw(tile: Tile, height_px: int) -> Image.Image:
    """Draw a tile with its marks.

    Args:
        tile: A grey area stands for one without an image.
        height_px: The tile is scaled to it; lines and letters are not.
    """
    size = (max(1, round(tile.width * height_px / tile.height)), height_px)
    if not tile.source:
        return Image.new("RGB", size, _NO_IMAGE)
    encoded = base64.b64decode(tile.source.partition(",")[2])
    with Image.open(io.BytesIO(encoded)) as opened:
        image = opened.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for mark in tile.marks:
        _lay(pen, mark, size)
    return image


def strip(tiles: Sequence[Tile], height_px: int) -> Image.Image:
    """Draw tiles side by side, at one height, each over its caption.

    Args:
        tiles: One or more.
        height_px: Of each tile, without its caption.
    """
    drawn = [draw(tile, height_px) for tile in tiles]
    columns = [max(image.width, _width_of(tile.caption)) for image, tile in zip(drawn, tiles, strict=True)]
    below = _LINE_PX if any(tile.caption for tile in tiles) else 0
    size = (sum(columns) + _GAP_PX * (len(columns) - 1), height_px + below)
    sheet, left = Image.new("RGB", size, _PAGE), 0
    pen = ImageDraw.Draw(sheet)
    for image, tile, width in zip(drawn, tiles, columns, strict=True):
        sheet.paste(image, (left, 0))
        pen.text((left, height_px + 2), tile.caption, fill=_INK, font=_font())
        left += width + _GAP_PX
    return sheet


def _lay(pen: ImageDraw.ImageDraw, placed: PlacedMark, size: tuple[int, int]) -> None:
    across, down = size[0] / 100, size[1] / 100
    left, top = placed.left * across, placed.top * down
    right, bottom = left + placed.width * across, top + placed.height * down
    color = _COLORS[placed.mark.kind]
    pen.rectangle((left, top, right, bottom), outline=color, width=2)
    if placed.mark.text:
        at = (left + 2, max(top - _FONT_PX - 3, 0))
        pen.rectangle(pen.textbbox(at, placed.mark.text, font=_font()), fill=color)
        pen.text(at, placed.mark.text, fill="white" if placed.mark.kind in _WHITE_ON else "black", font=_font())


def _width_of(text: str) -> int:
    return round(_font().getlength(text)) if text else 0


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_PX)
