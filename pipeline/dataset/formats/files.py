"""Files that adapters read and write: labels as text, images by name, never outside the folder they belong to."""

from __future__ import annotations

import codecs
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import cast

from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.object_storage import files_at, reaching

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})
"""Suffixes, in lower case, by which an image is known in a folder."""
_PIECE = 1 << 20


def read_bytes(uri: str) -> bytes:
    """Read a file.

    Args:
        uri: Path or fsspec URI.

    Returns:
        Its bytes.

    Raises:
        DataError: There is no such file.
    """
    files, path = files_at(uri)
    try:
        with reaching(uri):
            return cast(bytes, files.cat_file(path))
    except FileNotFoundError as fault:
        raise _absent(uri) from fault


def read_text(uri: str) -> str:
    """Read a UTF-8 file, with or without a byte-order mark.

    Args:
        uri: Path or fsspec URI.

    Returns:
        Its text.

    Raises:
        DataError: There is no such file, or it is no UTF-8.
    """
    try:
        return read_bytes(uri).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise _no_text(uri, fault, 0) from fault


def stream_text(uri: str) -> Iterator[str]:
    """Read a UTF-8 file, with or without a byte-order mark, piece by piece.

    Args:
        uri: Path or fsspec URI.

    Yields:
        Pieces of its text; they may be empty.

    Raises:
        DataError: There is no such file, or it is no UTF-8.
    """
    files, path = files_at(uri)
    decoder, read = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        with reaching(uri), files.open(path, "rb") as file:
            while piece := file.read(_PIECE):
                start = read - len(decoder.getstate()[0])
                text = piece.removeprefix(codecs.BOM_UTF8) if not read else piece
                read += len(text)
                yield decoder.decode(text)
            start = read - len(decoder.getstate()[0])
            yield decoder.decode(b"", final=True)
    except FileNotFoundError as fault:
        raise _absent(uri) from fault
    except UnicodeDecodeError as fault:
        raise _no_text(uri, fault, start) from fault


def list_files(folder: str, suffixes: Iterable[str]) -> list[str]:
    """Find files below a folder, however deep, by suffix.

    Args:
        folder: Path or fsspec URI.
        suffixes: In lower case, with the dot.

    Returns:
        Paths relative to the folder with `/` between the parts, sorted; hidden files are left out.

    Raises:
        DataError: There is no such folder.
    """
    files, root = files_at(folder)
    with reaching(folder):
        if not files.isdir(root):
            raise DataError(f"Expected a folder at {folder}, found none. Check the path in data.sources.")
        paths = files.find(root)
    wanted = frozenset(suffixes)
    found = (PurePosixPath(path).relative_to(root) for path in paths)
    return sorted(
        str(path) for path in found if path.suffix.lower() in wanted and not any(p.startswith(".") for p in path.parts)
    )


def nearest_file(folder: str, names: Sequence[str], levels: int) -> str | None:
    """Look for a file in a folder and in those above it.

    Args:
        folder: Path or fsspec URI.
        names: File names, the most wanted first.
        levels: How many folders to advance.

    Returns:
        Path or URI of the first one found, None where there is none.
    """
    files, path = files_at(folder)
    start = PurePosixPath(path)
    for place in [start, *start.parents[:levels]]:
        for name in names:
            with reaching(f"{folder} or above it"):
                if files.isfile(str(place / name)):
                    return Folder(files.unstrip_protocol(str(place / name))).uri
    return None


def image_uri(images: str, name: str, where: str) -> str:
    """Place of an image that an annotation file names.

    Args:
        images: Folder of the images, path or fsspec URI.
        name: Path of the image relative to it; backslashes count as `/`.
        where: Named in the error: the file and the place in it.

    Returns:
        Absolute path or full URI.

    Raises:
        DataError: The name leads out of the folder: absolute, with `..`, or over a link.
    """
    root = Folder(images).uri
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        raise DataError(f"{where}: expected the path of an image inside {root}, got {name!r}")
    uri = f"{root}/{path}"
    files, local = files_at(uri)
    if isinstance(files, LocalFileSystem) and not _is_below(local, root):
        raise DataError(
            f"{where}: {name!r} is a link that leads out of {root}. Put the image there or name its real folder."
        )
    return uri


def label_names(names: Iterable[str], suffix: str) -> list[str]:
    """Name the label file that belongs to each image: same path, another suffix.

    Args:
        names: Relative paths of images.
        suffix: Suffix of the label files, with the dot.

    Returns:
        Relative paths, in order.

    Raises:
        DataError: Two images would share one label file.
    """
    found = [str(PurePosixPath(name).with_suffix(suffix)) for name in names]
    shared = [name for name, count in Counter(found).items() if count > 1]
    if shared:
        raise DataError(f"Expected a label file an image, got several images for {shared[0]}. Rename the images.")
    return found


def write_below(folder: Folder, path: str, text: str) -> None:
    """Write UTF-8 text at a relative path below a folder, whole or not at all."""
    *parents, name = path.split("/")
    folder.folder(*parents).write_bytes(name, text.encode())


def _is_below(path: str, root: str) -> bool:
    real_root = os.path.realpath(root)
    return os.path.commonpath([os.path.realpath(path), real_root]) == real_root


def _absent(uri: str) -> DataError:
    return DataError(f"Expected a file at {uri}, found none. Check the path in data.sources.")


def _no_text(uri: str, fault: UnicodeDecodeError, start: int) -> DataError:
    """What is wrong with bytes that begin at a place of the file, behind its byte-order mark."""
    return DataError(f"{uri}: expected UTF-8 text, got byte {fault.object[fault.start]:#x} at {start + fault.start}")
