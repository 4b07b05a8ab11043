"""Pictures without labels: a folder."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.dataset.formats.entry import Entry
from pipeline.dataset.formats.files import PICTURE_SUFFIXES, list_files, picture_uri
from pipeline.errors import DataError


def read(images: str) -> Iterator[Entry]:
    """List the pictures of a folder, however deep; hidden files are left out.

    Args:
        images: Path or fsspec URI.

    Yields:
        An entry a picture, by name.

    Raises:
        DataError: There is no such folder, it holds no picture, or a link leads out of it.
    """
    names = list_files(images, PICTURE_SUFFIXES)
    if not names:
        raise DataError(f"Expected pictures ({', '.join(sorted(PICTURE_SUFFIXES))}) in {images}, found none.")
    for name in names:
        yield Entry(picture_uri(images, name, images))
