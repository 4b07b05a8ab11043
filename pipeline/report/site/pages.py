"""Pages that are written again only where what they show has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pyarrow as pa
from pydantic_core import to_json

from pipeline.dataset.code_version import code_version
from pipeline.folder import Folder
from pipeline.report.names import DATA_FOLDER, data_name

_AT_ONCE = 5
"""Most pages that a killed run makes twice."""


@dataclass(frozen=True)
class Rendered:
    """A page as HTML, and everything that it shows as records, which become JSON."""

    html: str
    data: object


@dataclass(frozen=True, slots=True)
class Made:
    """The digest of what each page, and each table beside them, was made from; by name."""

    FILE: ClassVar[str] = "made.json"
    MADE_BY: ClassVar[str] = "crosscheck report"

    digests: Mapping[str, str] = field(default_factory=dict)


class Pages:
    """The pages of a project and the data beside them.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        made = self._data.read_record(Made.FILE, Made) if self._data.exists(Made.FILE) else Made()
        self._before, self._now = dict(made.digests), dict(made.digests)
        self._there: dict[str, set[str]] = {}
        self.written: list[str] = []
        """Names of what was written."""

    def write(self, page: str, shown: object, render: Callable[[], Rendered]) -> None:
        """Write a page and its data, unless they are there and show the same.

        Args:
            page: Its name, perhaps in a folder: `versions/0012.html`.
            shown: Records from which everything on the page follows.
            render: Makes the page.
        """
        data, of = data_name(page), digest(shown)
        if self._is_made(page, of, data):
            return
        rendered = render()
        self._put(data, to_json(rendered.data, indent=1, inf_nan_mode="null"))
        self._put(page, rendered.html.encode())
        self._remember(page, of)

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table of numbers as Parquet, unless it is there and the same: `cycles` as `data/cycles.parquet`."""
        table, file = pa.Table.from_pandas(frame, preserve_index=False), f"{DATA_FOLDER}/{name}.parquet"
        of = table_digest(table)
        if self._is_made(file, of):
            return
        self._data.write_table(f"{name}.parquet", table)
        self._note(file)
        self._remember(file, of)

    def names(self, folder: str) -> set[str]:
        """What lies in a folder of the pages; their own for an empty name."""
        if folder not in self._there:
            self._there[folder] = set((self._folder.folder(folder) if folder else self._folder).names())
        return self._there[folder]

    def finish(self) -> None:
        """Remember what the pages were made from. What a killed run does not remember is made once more."""
        if self._now != self._before:
            self._data.write_record(Made.FILE, Made(dict(sorted(self._now.items()))))
            self._before = dict(self._now)

    @property
    def _data(self) -> Folder:
        return self._folder.folder(DATA_FOLDER)

    def _remember(self, name: str, of: str) -> None:
        """Keep what a page was made from, on disk after every few pages."""
        self._now[name] = of
        if sum(self._before.get(page) != made for page, made in self._now.items()) >= _AT_ONCE:
            self.finish()

    def _is_made(self, name: str, of: str, *others: str) -> bool:
        return self._now.get(name) == of and all(file in self.names(folder) for folder, file in _split((name, *others)))

    def _put(self, name: str, content: bytes) -> None:
        ((folder, file),) = _split((name,))
        (self._folder.folder(folder) if folder else self._folder).write_bytes(file, content)
        self._note(name)

    def _note(self, name: str) -> None:
        ((folder, file),) = _split((name,))
        self.names(folder).add(file)
        self.written.append(name)


def digest(shown: object) -> str:
    """Hash of records, of the release and of the code that shows them."""
    return hashlib.sha256(_code() + to_json(shown, inf_nan_mode="constants")).hexdigest()[:32]


def table_digest(table: pa.Table) -> str:
    """Hash of the columns and rows of a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()[:32]


@cache
def _code() -> bytes:
    """The release, and this room's code and templates: not the commit, or every one would make all pages anew."""
    room = Path(__file__).parents[1]
    sources = sorted(path for path in room.rglob("*") if path.suffix in {".py", ".html", ".css", ".js"})
    release = code_version().partition("+")[0]
    return hashlib.sha256(release.encode() + b"".join(path.read_bytes() for path in sources)).digest()


def _split(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(folder, file) for folder, _, file in (name.rpartition("/") for name in names)]
