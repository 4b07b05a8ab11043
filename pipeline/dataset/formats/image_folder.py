"""Images without labels: a folder."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.dataset.formats.entry import Entry
from pipeline.dataset.formats.files import IMAGE_SUFFIXES, image_uri, list_files
from pipeline.errors import DataError


def read(images: str) -> Iterator[Entry]:
    """List the images of a folder, however deep; hidden files are left out.

    Args:
        images: Path or fsspec URI.

    Yields:
        One entry per image, by name.

    Raises:
        DataError: There is no such folder, it holds no image, or a link leads out of it.
    """
    names = list_files(images, IMAGE_SUFFIXES)
    if not names:
        raise DataError(f"Expected images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {images}, found none.")
    for name in names:
        yield Entry(image_uri(images, name, images))
