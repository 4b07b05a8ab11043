"""Images on a page: pixels encoded into it, boxes laid over them as crisp marks."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.errors import ImageFault
from pipeline.report.rows import Corners

Pixels = npt.NDArray[np.uint8]
"""`[H, W, 3]`, RGB, 0 to 255, as a person sees the image."""

_JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Mark:
    """What a box over an image stands for.

    Attributes:
        kind: Gives colour and line: `pseudo`, `ask`, `drop`, `ignore`, `paste`, `redetection`.
        text: Short, at the corner of the box; empty for none.
        tip: Long, shown when the pointer rests on the box.
    """

    kind: str
    text: str = ""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class PlacedMark:
    """A mark and where its box lies, in percent of the width and height of the image that is shown."""

    mark: Mark
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Tile:
    """An image with its marks.

    Attributes:
        alt: What it shows, for those who cannot see it.
        source: The encoded image as a data URI, or the address of its file; empty where the image cannot be shown.
        width: Pixels.
        height: Pixels.
        marks: Boxes over it.
        missing: Why the image cannot be shown; empty where it is.
        caption: A line below it; empty for none.
    """

    alt: str
    source: str = ""
    width: int = 4
    height: int = 3
    marks: tuple[PlacedMark, ...] = ()
    missing: str = ""
    caption: str = ""


def place(mark: Mark, box: Corners, view: Corners) -> PlacedMark:
    """Lay a mark over the part of an image that is shown.

    Args:
        mark: What the box stands for.
        box: In pixels.
        view: The part that is shown, in the same pixels.

    Returns:
        The mark, cut at the edges of the view, rounded to hundredths of a percent.
    """
    left, top, right, bottom = view
    across, down = 100 / (right - left), 100 / (bottom - top)
    x1, x2 = (min(max((x - left) * across, 0.0), 100.0) for x in (box[0], box[2]))
    y1, y2 = (min(max((y - top) * down, 0.0), 100.0) for y in (box[1], box[3]))
    return PlacedMark(mark, round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2))


def encode(
    pixels: Pixels, subject: str, marks: Iterable[PlacedMark] = (), caption: str = "", *, lossless: bool = False
) -> Tile:
    """Encode pixels as a tile.

    Args:
        pixels: `[H, W, 3]`.
        subject: What is seen, for the alt text.
        marks: Boxes over it.
        caption: A line below it.
        lossless: Keep every pixel as it is; for small images, since it takes several times the bytes.

    Returns:
        The tile; its alt text names the subject and every mark.
    """
    size = (pixels.shape[1], pixels.shape[0])
    return replace(framed(_data_uri(pixels, lossless), size, subject, marks), caption=caption)


def framed(source: str, size: tuple[int, int], subject: str, marks: Iterable[PlacedMark] = ()) -> Tile:
    """An encoded image with its marks as a tile.

    Args:
        source: A data URI, or the address of a file.
        size: Width and height in pixels.
        subject: What is seen.
        marks: Boxes over it.

    Returns:
        The tile; its alt text names the subject and every mark.
    """
    placed = tuple(marks)
    texts = ", ".join(each.mark.text or each.mark.kind for each in placed)
    return Tile(f"{subject}: {texts}" if texts else subject, source, *size, placed)


def unreadable(subject: str, fault: ImageFault, caption: str = "") -> Tile:
    """A tile in the place of an image that cannot be shown."""
    return Tile(f"{subject}: no image", missing=fault.reason, caption=caption)


def shrink(pixels: Pixels, longest_side_px: int) -> Pixels:
    """Scale an image down to a longest side; a smaller one is left as it is."""
    if max(pixels.shape[:2]) <= longest_side_px:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((longest_side_px, longest_side_px))
    return np.asarray(image)


def jpeg(pixels: Pixels) -> bytes:
    """Encode pixels as the pages show them."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def _data_uri(pixels: Pixels, lossless: bool) -> str:
    encoded, kind = (_webp(pixels), "webp") if lossless else (jpeg(pixels), "jpeg")
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def _webp(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()
