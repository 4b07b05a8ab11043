"""Images of pages as files beside them: written once, loaded by the browser when they come into view."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from pipeline.errors import ImageFault
from pipeline.folder import Folder
from pipeline.report.album import Album, ReadPixels
from pipeline.report.comparison import AlbumOf
from pipeline.report.names import IMAGES_FOLDER, up
from pipeline.report.rows import Corners
from pipeline.report.tiles import Mark, Tile, framed, jpeg, place, unreadable
from pipeline.report.wording import file_name


class Thumbnails:
    """The folder of images that pages in folders share.

    Args:
        reports: Where the pages lie.
        read: Gives the pixels of a URI.
    """

    def __init__(self, reports: Folder, read: ReadPixels) -> None:
        self._folder, self._read = reports.folder(IMAGES_FOLDER), read
        self._there = set(self._folder.names())

    @property
    def album(self) -> AlbumOf:
        """Gives albums whose tiles point to these files."""
        return lambda rows, image_ids: _LinkedAlbum(self._read, rows, image_ids, self._file)

    def _file(self, album: Album, image_id: str, longest_side_px: int) -> str:
        """Address of an image as a page in a folder has it; the file is written unless it is there."""
        name = f"{image_id}-{longest_side_px}.jpg"
        if name not in self._there:
            self._folder.write_bytes(name, jpeg(album.pixels(image_id, longest_side_px)))
            self._there.add(name)
        return up(f"{IMAGES_FOLDER}/{name}")


class _LinkedAlbum(Album):
    """Images of some rows as tiles that point to files."""

    def __init__(
        self, read: ReadPixels, samples: pa.Table, image_ids: Iterable[str], file: Callable[[Album, str, int], str]
    ) -> None:
        super().__init__(read, samples, image_ids)
        self._file = file

    def tile(self, image_id: str, longest_side_px: int, boxes: Iterable[tuple[Corners, Mark]] = ()) -> Tile:
        """A whole image with boxes over it, or a tile that says why there is none."""
        name = file_name(self.uri(image_id))
        try:
            source = self._file(self, image_id, longest_side_px)
        except ImageFault as fault:
            return unreadable(name, fault)
        ref = self.ref(image_id)
        view = (0.0, 0.0, float(ref.width), float(ref.height))
        return framed(source, (ref.width, ref.height), name, [place(mark, box, view) for box, mark in boxes])
