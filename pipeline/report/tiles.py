"""Images on a page: read through a callable, encoded into the page, boxes laid over them as crisp marks."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipeline.errors import ImageFault
from pipeline.report.wording import file_name

Pixels = npt.NDArray[np.uint8]
"""`[H, W, 3]`, RGB, 0 to 255, as a person sees the image."""

ReadPixels = Callable[[str, int], Pixels]
"""Called with a URI and the longest side in pixels that is wanted; the image is not larger. Raises `ImageFault`."""

Corners = tuple[float, float, float, float]
"""`(x1, y1, x2, y2)` in pixels."""

_JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Mark:
    """A box over an image.

    Attributes:
        kind: What it is, which gives colour and line: `pseudo`, `ask`, `drop`, `ignore`, `paste`, `found`.
        left: Of the box, in percent of the image's width.
        top: In percent of the image's height.
        width: In percent of the image's width.
        height: In percent of the image's height.
        text: Short, at the corner of the box; empty for none.
        tip: Long, shown when the pointer rests on the box.
    """

    kind: str
    left: float
    top: float
    width: float
    height: float
    text: str = ""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """An image with its marks.

    Attributes:
        alt: What it shows, for those who cannot see it.
        source: The JPEG as a data URI; empty where the image cannot be shown.
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
    marks: tuple[Mark, ...] = ()
    missing: str = ""
    caption: str = ""


class Album:
    """Reads the images of some images.

    Args:
        read: Gives the pixels of a URI.
        samples: See `CycleContents.samples`.
        image_ids: The images that will be asked for.
    """

    def __init__(self, read: ReadPixels, samples: pa.Table, image_ids: Iterable[str]) -> None:
        wanted = pa.array(sorted(set(image_ids)), pa.string())
        kept = samples.select(["image_id", "uri", "width", "height", "ignore"])
        rows = kept.filter(pc.is_in(kept["image_id"], wanted)).to_pylist()
        self._read = read
        self._rows: Mapping[str, dict[str, Any]] = {row["image_id"]: row for row in rows}

    def uri(self, image_id: str) -> str:
        """Where the image lies; the id itself where the image has no row."""
        row = self._rows.get(image_id)
        return str(row["uri"]) if row else image_id

    def size(self, image_id: str) -> tuple[int, int]:
        """Full width and height in pixels."""
        return self._rows[image_id]["width"], self._rows[image_id]["height"]

    def ignored(self, image_id: str) -> list[dict[str, Any]]:
        """Ignore regions of an image: corners and reason."""
        return list(self._rows.get(image_id, {}).get("ignore") or [])

    def pixels(self, image_id: str, longest_side_px: int) -> Pixels:
        """Read an image.

        Raises:
            ImageFault: The image has no row or no size, or its image cannot be read.
        """
        row = self._rows.get(image_id)
        if row is None:
            raise ImageFault(image_id, "the image has no row in the sample table of this cycle")
        if not row["width"] or not row["height"]:
            raise ImageFault(row["uri"], "its size is not known, so it was never readable")
        try:
            return self._read(row["uri"], longest_side_px)
        except OSError as fault:
            raise ImageFault(row["uri"], str(fault)) from fault

    def tile(self, image_id: str, longest_side_px: int, boxes: Iterable[tuple[Corners, Mark]] = ()) -> Tile:
        """A whole image with boxes over it, or a tile that says why there is none.

        Args:
            image_id: The image.
            longest_side_px: Of the image on the page.
            boxes: Corners in pixels of the full image, and the mark to lay there.

        Returns:
            The tile.
        """
        name = file_name(self.uri(image_id))
        try:
            pixels = self.pixels(image_id, longest_side_px)
        except ImageFault as fault:
            return unreadable(name, fault)
        width, height = self.size(image_id)
        return image(pixels, name, [laid(mark, corners, (0, 0, width, height)) for corners, mark in boxes])


def image(pixels: Pixels, subject: str, marks: Iterable[Mark], caption: str = "") -> Tile:
    """Encode pixels as a tile.

    Args:
        pixels: `[H, W, 3]`.
        subject: What is seen, for the alt text.
        marks: Boxes over it.
        caption: A line below it.

    Returns:
        The tile; its alt text names the subject and every mark.
    """
    found = tuple(marks)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    source = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    texts = ", ".join(mark.text or mark.kind for mark in found)
    alt = f"{subject}: {texts}" if texts else subject
    return Tile(alt, source, pixels.shape[1], pixels.shape[0], found, caption=caption)


def unreadable(subject: str, fault: ImageFault, caption: str = "") -> Tile:
    """A tile in the place of an image that cannot be shown."""
    return Tile(f"{subject}: no image", missing=fault.reason, caption=caption)


def laid(mark: Mark, corners: Corners, view: Corners) -> Mark:
    """Place a mark over the part of an image that is shown.

    Args:
        mark: Its kind and texts.
        corners: Of the box in pixels.
        view: The part that is shown, in the same pixels.

    Returns:
        The mark with its place in percent of the view, cut at the view's edges, rounded to hundredths.
    """
    left, top, right, bottom = view
    across, down = 100 / (right - left), 100 / (bottom - top)
    x1, x2 = (min(max((x - left) * across, 0.0), 100.0) for x in (corners[0], corners[2]))
    y1, y2 = (min(max((y - top) * down, 0.0), 100.0) for y in (corners[1], corners[3]))
    return Mark(mark.kind, round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2), mark.text, mark.tip)
