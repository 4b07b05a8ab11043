"""A folder, local or on object storage, whose files are written whole or not at all."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from pyarrow import NativeFile
from pyarrow.fs import FileSystem

from pipeline.errors import ArtefactError
from pipeline.json_text import parse_json
from pipeline.object_storage import OBJECT_STORES, arrow_files, files_at, protocol_of, reaching, require_writable
from pipeline.record_json import record_from_json, record_to_json
from pipeline.row_groups import row_groups
from pipeline.storage_faults import writing

R = TypeVar("R")


class Folder:
    """A local folder or an fsspec URI with atomic writes.

    Args:
        root: A path or a URI such as `s3://bucket/prefix`.
    """

    def __init__(self, root: str | Path) -> None:
        self._files, path = files_at(str(root))
        self._local = isinstance(self._files, LocalFileSystem)
        self._path = path.rstrip("/")

    def __repr__(self) -> str:
        """The folder's URI."""
        return f"Folder({self.uri!r})"

    @property
    def uri(self) -> str:
        """Absolute local path, or the full URI of a remote folder."""
        return self._path if self._local else str(self._files.unstrip_protocol(self._path))

    def folder(self, *names: str) -> Folder:
        """A folder below this one; it need not exist.

        Raises:
            ValueError: A name would leave this folder.
        """
        return Folder(self.path(*names))

    def path(self, *names: str) -> str:
        """Path or URI of something below this folder.

        Raises:
            ValueError: A name would leave this folder.
        """
        for name in names:
            if name in {"", ".", ".."} or "/" in name or "\\" in name:
                raise ValueError(f"Expected the plain name of a file or folder, got {name!r}")
        return "/".join([self.uri, *names])

    def exists(self, name: str) -> bool:
        """Tell whether a finished file or folder of this name is there."""
        with reaching(self.path(name)):
            return bool(self._files.exists(self.path(name)))

    def names(self) -> list[str]:
        """Names of everything finished in this folder, sorted; empty for a folder that is not there."""
        try:
            with reaching(self.uri):
                paths = self._files.ls(self.uri, detail=False)
        except FileNotFoundError:
            return []
        below = (str(path).rstrip("/") for path in paths)
        # The console of a store marks a folder by an object of its name.
        found = (path.rsplit("/", 1)[-1] for path in below if path != self._path)
        return sorted(name for name in found if not name.endswith(".tmp"))

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Write a file that appears, whole, when the block ends without an error.

        Args:
            name: The file's name; an older file of this name is replaced.

        Yields:
            The open file.
        """
        with writing(self.path(name)):
            yield from self._create(name)

    def _create(self, name: str) -> Iterator[BinaryIO]:
        path = self.path(name)
        if not self._local:
            # Object stores replace an object whole; not all of them can take a half-sent one back.
            whole = io.BytesIO()
            yield whole
            require_writable(path)
            with reaching(path, absent=()):
                if protocol_of(path) not in OBJECT_STORES:
                    self._files.makedirs(self.uri, exist_ok=True)
                self._files.pipe_file(path, whole.getvalue())
            return
        Path(self.uri).mkdir(parents=True, exist_ok=True)
        unfinished = f"{path}.{uuid4().hex[:8]}.tmp"
        try:
            with open(unfinished, "wb") as local:
                yield local
                local.flush()
                os.fsync(local.fileno())
            Path(unfinished).replace(path)
        finally:
            Path(unfinished).unlink(missing_ok=True)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file atomically."""
        with self.create(name) as file:
            file.write(data)

    def read_bytes(self, name: str) -> bytes:
        """Read a file.

        Raises:
            ArtefactError: There is no such file.
        """
        try:
            with reaching(self.path(name)):
                return cast(bytes, self._files.cat_file(self.path(name)))
        except FileNotFoundError as fault:
            raise _missing(self.path(name)) from fault

    def write_json(self, name: str, value: Any, indent: int | None = 2) -> None:
        """Write JSON atomically, keys in the order given; without indentation it takes a quarter of the time."""
        self.write_bytes(name, (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read JSON.

        Raises:
            ArtefactError: The file is missing or damaged.
        """
        try:
            return parse_json(self.read_bytes(name))
        except ValueError as fault:
            raise ArtefactError(f"{self.path(name)}: expected JSON, got {fault}. Remove it and run again.") from fault

    def write_record(self, name: str, record: object, indent: int | None = 2) -> None:
        """Write a dataclass as JSON, see `write_json`."""
        self.write_json(name, record_to_json(record), indent)

    def read_record(self, name: str, kind: type[R]) -> R:
        """Read a dataclass back.

        Args:
            name: The file's name.
            kind: The dataclass; keys that it does not have are left out.

        Raises:
            ArtefactError: The file is missing, is no JSON, lacks a key or holds a value of the wrong type; the message
                names each, and the command that makes it where `kind` has a `MADE_BY`.
        """
        return record_from_json(self.read_bytes(name), kind, self.path(name))

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a parquet file atomically; the same table gives the same bytes."""
        with self.create(name) as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)

    @contextmanager
    def create_table(self, name: str, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        """Write a parquet file part by part; it appears, whole, when the block ends without an error.

        Args:
            name: The file's name; an older file of this name is replaced.
            schema: Of every part.

        Yields:
            A function that appends a table as one row group.
        """
        with (
            self.create(name) as file,
            pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
        ):
            yield lambda table: writer.write_table(table, row_group_size=max(1, len(table)))

    def read_table(self, name: str, columns: list[str] | None = None, rows: pc.Expression | None = None) -> pa.Table:
        """Read a parquet file.

        Args:
            name: The file's name.
            columns: Columns to read; all by default.
            rows: Only rows of which this is true.

        Raises:
            ArtefactError: The file is missing or damaged.
        """
        return self._read(name, columns=columns, filters=rows)

    def read_coded(self, name: str, columns: list[str]) -> pa.Table:
        """Read columns of a parquet file with each text once and its number in every row.

        A table of many rows with few different texts takes a fraction of the memory so.

        Args:
            name: The file's name.
            columns: Columns to read.

        Raises:
            ArtefactError: The file is missing or damaged.
        """
        return self._read(name, columns=columns, read_dictionary=columns).unify_dictionaries()

    def _read(self, name: str, **what: object) -> pa.Table:
        with self._opened(name) as file:
            return pq.read_table(file, use_threads=self._local, page_checksum_verification=True, **what)

    def read_groups(
        self, name: str, columns: list[str] | None = None, rows: tuple[str, Iterable[str]] | None = None
    ) -> Iterator[pa.Table]:
        """Read a parquet file part by part, for tables that are too large to be held at once.

        Args:
            name: The file's name.
            columns: Columns to read; all by default.
            rows: A column of texts, and texts of which every row has one; all rows by default. Row groups that cannot
                hold any are passed over.

        Yields:
            The rows of each row group, in order.

        Raises:
            ArtefactError: The file is missing or damaged.
        """
        with self._opened(name) as file:
            yield from row_groups(file, columns, rows)

    @contextmanager
    def _opened(self, name: str) -> Iterator[NativeFile]:
        """Open a parquet file so that no thread of Arrow holds a file of Python, which aborts or hangs as Python ends.

        Arrow opens local files by itself; remote ones are Python's, and are read without threads (arrow issue 50482).
        """
        place = self.path(name)
        files, folder = self.arrow()
        try:
            with reaching(place):
                opened = files.open_input_file(f"{folder}/{name}")
        except FileNotFoundError as fault:
            raise _missing(place) from fault
        with reaching(place), opened as file:
            try:
                yield file
            except (pa.ArrowException, OSError) as fault:
                raise ArtefactError(f"{place}: expected parquet, got {fault}. Remove it, run again.") from fault

    def arrow(self) -> tuple[FileSystem, str]:
        """How Arrow reads this folder: a file system, and the folder's path there."""
        return arrow_files(self._files), self._path

    def size(self, name: str) -> int:
        """Bytes of a file."""
        with reaching(self.path(name)):
            return int(self._files.size(self.path(name)))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that it holds; nothing happens where there is none."""
        if self.exists(name):
            require_writable(self.path(name))
            with reaching(self.path(name)):
                self._files.rm(self.path(name), recursive=True)


def _missing(place: str) -> ArtefactError:
    return ArtefactError(f"Expected {place}, found nothing. Run the stage that makes it.")
