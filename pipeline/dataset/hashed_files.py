"""Files that have to be what was imported: all of them are hashed before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.dataset.images import file_id
from pipeline.errors import DataError, ImageFault
from pipeline.progress import Progress, silent

_THREADS = 8
_TOGETHER = 1024
_NAMED = 3


def require_files(files: Sequence[tuple[str, str]], place: str, progress: Progress = silent) -> None:
    """Hash files, and refuse them all where one is missing or another.

    Args:
        files: `image_id` and URI of each.
        place: Where they are expected, for people: `at their new place`.
        progress: Called after every thousand files.

    Raises:
        DataError: Names the first ones.
        RemoteError: The storage cannot be reached.
    """
    faults: list[str] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(files), _TOGETHER):
            faults += filter(None, pool.map(_fault, files[start : start + _TOGETHER]))
            progress("hashing images", min(start + _TOGETHER, len(files)), len(files))
    if faults:
        raise DataError(
            f"Expected the {len(files)} images {place}, {len(faults)} are not there as they were imported: "
            f"{'; '.join(faults[:_NAMED])}{'; ...' * (len(faults) > _NAMED)}. Nothing was changed."
        )


def _fault(file: tuple[str, str]) -> str:
    image_id, uri = file
    try:
        found = file_id(uri)
    except ImageFault as fault:
        return f"{uri} ({fault.reason})"
    return "" if found == image_id else f"{uri} (another file)"
