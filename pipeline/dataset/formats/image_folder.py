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
        One entry per image, by name. A link that leads out of the folder, and a folder without images, give an entry
        that says so: what arrives one night must not stop it.

    Raises:
        DataError: There is no such folder.
    """
    names = list_files(images, IMAGE_SUFFIXES)
    if not names:
        yield Entry(images, refused=f"expected images ({', '.join(sorted(IMAGE_SUFFIXES))}), found none")
    for name in names:
        try:
            yield Entry(image_uri(images, name, images))
        except DataError as fault:
            yield Entry(f"{images.rstrip('/')}/{name}", refused=str(fault))
