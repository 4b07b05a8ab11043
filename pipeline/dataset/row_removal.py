"""Removing the rows of versions that nobody needs any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipeline.dataset.stored_table import StoredTable
from pipeline.folder import Folder


@dataclass(frozen=True, slots=True)
class Removal:
    """What a removal of rows takes away.

    Attributes:
        versions: Versions that cannot be read afterwards.
        size: Bytes of their files, and of files that a killed commit left behind.
    """

    versions: tuple[int, ...]
    size: int


def remove_rows(uri: str, kept: Collection[int], *, apply: bool) -> Removal:
    """Remove the files of all versions but some; the history keeps naming them, and their rows cannot be read.

    Args:
        uri: Of the sample table.
        kept: Versions of the table that stay readable; the latest one always does.
        apply: Remove; otherwise only tell what would go.

    Returns:
        What goes, or went.

    Raises:
        ArtefactError: There is no table.
    """
    latest = StoredTable.opened(uri)
    files = {table.number: table.files() for table in latest.up_to_here()}
    used = set().union(*(files[number] for number in {*kept, latest.number}))
    folder = Folder(uri)
    there = {name for name in folder.names() if name.endswith(".parquet")}
    gone = tuple(number for number, names in files.items() if not names <= used and names & there)
    size = sum(folder.size(name) for name in there - used)
    for name in sorted(there - used) if apply else ():
        folder.remove(name)
    return Removal(gone, size)
