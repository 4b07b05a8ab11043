"""The images of some rows, read through a callable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.images import read_image
from pipeline.errors import ImageFault
from pipeline.records import ImageRef, Region
from pipeline.report.rows import Corners
from pipeline.report.tiles import Mark, Pixels, Tile, encode, place, unreadable
from pipeline.report.wording import file_name

ReadPixels = Callable[[str, int], Pixels]
"""Called with a URI and the length in pixels of the image's longest side, as the detector's input is read: a smaller
image may be scaled up. Raises `ImageFault`."""


def pixel_reader(max_pixels: int) -> ReadPixels:
    """What reads image files.

    Args:
        max_pixels: An image with more is refused before it is decoded.
    """

    def read(uri: str, longest_side_px: int) -> Pixels:
        return read_image(uri, max_pixels, longest_side_px).pixels

    return read


@dataclass(frozen=True, slots=True)
class _Entry:
    ref: ImageRef
    ignore: tuple[Region, ...]


class Album:
    """Reads images.

    Args:
        read: Gives the pixels of a URI.
        samples: See `CycleContents.samples`.
        image_ids: The images that will be asked for.
    """

    def __init__(self, read: ReadPixels, samples: pa.Table, image_ids: Iterable[str]) -> None:
        wanted = pa.array(sorted(set(image_ids)), pa.string())
        kept = samples.select([*ImageRef._fields, "ignore"]).filter(pc.is_in(samples["image_id"], wanted))
        self._read = read
        self._entries = {
            row["image_id"]: _Entry(
                ImageRef(*(row[name] for name in ImageRef._fields)),
                tuple(Region(**region) for region in row["ignore"] or ()),
            )
            for row in kept.to_pylist()
        }

    def uri(self, image_id: str) -> str:
        """Where the image lies; the id itself where the image has no row."""
        entry = self._entries.get(image_id)
        return entry.ref.uri if entry else image_id

    def ref(self, image_id: str) -> ImageRef:
        """An image that has a row."""
        return self._entries[image_id].ref

    def ignored(self, image_id: str) -> tuple[Region, ...]:
        """Ignore regions of an image."""
        entry = self._entries.get(image_id)
        return entry.ignore if entry else ()

    def pixels(self, image_id: str, longest_side_px: int) -> Pixels:
        """Read an image.

        Raises:
            ImageFault: The image has no row or no size, or cannot be read.
        """
        entry = self._entries.get(image_id)
        if entry is None:
            raise ImageFault(image_id, "the image has no row in the sample table of this cycle")
        if not entry.ref.width or not entry.ref.height:
            raise ImageFault(entry.ref.uri, "its size is not known, so it was never readable")
        try:
            return self._read(entry.ref.uri, longest_side_px)
        except OSError as fault:
            raise ImageFault(entry.ref.uri, str(fault)) from fault

    def tile(self, image_id: str, longest_side_px: int, boxes: Iterable[tuple[Corners, Mark]] = ()) -> Tile:
        """A whole image with boxes over it, or a tile that says why there is none.

        Args:
            image_id: The image.
            longest_side_px: Of the image on the page.
            boxes: In pixels of the full image, and the mark to lay there.
        """
        name = file_name(self.uri(image_id))
        try:
            pixels = self.pixels(image_id, longest_side_px)
        except ImageFault as fault:
            return unreadable(name, fault)
        view = (0.0, 0.0, float(self.ref(image_id).width), float(self.ref(image_id).height))
        return encode(pixels, name, [place(mark, box, view) for box, mark in boxes])
