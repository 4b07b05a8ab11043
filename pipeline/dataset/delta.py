"""The only door to Delta Lake: opening a table, committing files to it, and what each version says of itself.

Files of rows are written by `dataset.row_files`: Delta's own writer does not keep the order of rows.
Nothing expires, so that every version stays readable: the table keeps files and log for a hundred years, and only a
`VACUUM` that is forced below that destroys versions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from pipeline.dataset.code_version import code_version
from pipeline.dataset.versions import CommitMetadata, Version
from pipeline.errors import ArtefactError
from pipeline.object_storage import reaching, require_writable
from pipeline.s3_access import s3_options

_METADATA_KEY = "crosscheck"
_KEEP_FOR_GOOD = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}


@dataclass(frozen=True, slots=True)
class Range:
    """What values a column has, by which readers leave files out; `low` and `high` are None where all are null."""

    low: str | int | None = None
    high: str | int | None = None
    nulls: int = 0


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of rows in the order of `image_id` that was written beside the table, and is not yet part of it.

    Attributes:
        name: Of the file, in the table's folder.
        size: Bytes.
        rows: How many.
        ranges: Of the values in every column but those of lists, by name.
    """

    name: str
    size: int
    rows: int
    ranges: Mapping[str, Range]


Table = DeltaTable


@dataclass(frozen=True, slots=True)
class Contents:
    """What one version consists of.

    Attributes:
        number: Of the version.
        files: Names of the files that hold its rows.
        schema: Its columns.
    """

    number: int
    files: frozenset[str]
    schema: pa.Schema


def is_table(uri: str) -> bool:
    """Tell whether there is a table, that is, at least version 0."""
    with reaching(uri):
        return DeltaTable.is_deltatable(uri, s3_options(uri))


def open_table(uri: str, version: int | None = None) -> DeltaTable:
    """Open a table at one version; at the latest by default.

    Raises:
        ArtefactError: There is no table, or no such version.
    """
    try:
        with reaching(uri, absent=(TableNotFoundError,)):
            table = DeltaTable(uri, storage_options=s3_options(uri))
    except TableNotFoundError as fault:
        raise ArtefactError(f"Expected a sample table at {uri}, found none. Run `crosscheck import` first.") from fault
    latest = table.version()
    if version is not None and version != latest:
        if not 0 <= version <= latest:
            raise ArtefactError(f"Expected a dataset version from 0 to {latest}, got {version}.")
        table.load_as_version(version)
    return table


def place(table: DeltaTable) -> str:
    """Folder or URI of a table, for people."""
    return unquote(table.table_uri.removeprefix("file://")).rstrip("/")


def contents(table: DeltaTable) -> Contents:
    """What the version that is open consists of."""
    files = frozenset(uri.rsplit("/", 1)[-1] for uri in table.file_uris())
    return Contents(table.version(), files, pa.schema(table.schema().to_arrow()))


def contents_by_version(table: DeltaTable) -> Iterator[Contents]:
    """What each version up to the one that is open consists of, oldest first."""
    each = open_table(table.table_uri)
    for number in range(table.version() + 1):
        each.load_as_version(number)
        yield contents(each)


def sizes(table: DeltaTable) -> dict[str, int | None]:
    """Rows in each file of a version, those that newer ones replace included; None where a file does not say."""
    added = pa.table(table.get_add_actions(flatten=True))
    return dict(zip(added["path"].to_pylist(), added["num_records"].to_pylist(), strict=True))


def history(table: DeltaTable) -> list[Version]:
    """All versions up to the one that is open, oldest first."""
    return [_version(entry) for entry in reversed(table.history())]


def create(uri: str, file: RowFile, schema: pa.Schema, metadata: CommitMetadata) -> int:
    """Make version 0."""
    with _conflicts_explained(uri):
        create_table_with_add_actions(
            uri,
            Schema.from_arrow(schema),
            [_add(file)],
            mode="error",
            configuration=_KEEP_FOR_GOOD,
            commit_properties=_properties(None, metadata),
            storage_options=s3_options(uri),
        )
    return 0


def exchange(
    table: DeltaTable, gone: Collection[str], new: Sequence[RowFile], schema: pa.Schema, metadata: CommitMetadata
) -> int:
    """Make a version that holds the files of the one before but some, and new ones."""
    # Only an overwrite gives the table new columns, and it takes all files away.
    everything = bool(gone) and set(gone) == contents(table).files
    removed = [] if everything else [RemoveAction(name, True, _now()) for name in gone]
    parent, actions = table.version(), cast(list[AddAction | RemoveAction], [*removed, *map(_add, new)])
    made = _properties(parent, metadata)
    with _conflicts_explained(place(table)):
        table.create_write_transaction(actions, "overwrite" if everything else "append", schema, commit_properties=made)
    return parent + 1


def restore(table: DeltaTable, version: int, metadata: CommitMetadata) -> int:
    """Make a version that holds the files of an earlier one."""
    latest = table.version()
    with _conflicts_explained(place(table)):
        table.restore(version, commit_properties=_properties(latest, metadata))
    return latest + 1


def _add(file: RowFile) -> AddAction:
    stats = {
        "numRecords": file.rows,
        "minValues": {name: found.low for name, found in file.ranges.items() if found.low is not None},
        "maxValues": {name: found.high for name, found in file.ranges.items() if found.high is not None},
        "nullCount": {name: found.nulls for name, found in file.ranges.items()},
    }
    return AddAction(file.name, file.size, {}, _now(), True, json.dumps(stats))


def _now() -> int:
    return int(time.time() * 1000)


def _properties(parent: int | None, metadata: CommitMetadata) -> CommitProperties:
    # Without retries a commit that meets another one fails: its counts and rows were made from an older version.
    made = {"parent": parent, "code_version": code_version(), **metadata}
    content = json.loads(json.dumps(made, allow_nan=False))
    return CommitProperties(custom_metadata={_METADATA_KEY: content}, max_commit_retries=0)


@contextmanager
def _conflicts_explained(uri: str) -> Iterator[None]:
    require_writable(uri)
    try:
        with reaching(uri, absent=(DeltaError,)):
            yield
    except DeltaError as fault:
        lost = isinstance(fault, CommitFailedError) or "already exists" in str(fault)
        if not lost:
            raise _unwritable(uri, fault) from fault
        raise ArtefactError(
            f"{uri}: somebody else committed at the same time, nothing was written. Run again."
        ) from fault


def _unwritable(uri: str, fault: Exception) -> ArtefactError:
    reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    return ArtefactError(
        f"{uri}: the version could not be written, the one before stands: {reason}. Is there space, and may it be "
        "written? Then run again."
    )


def _version(entry: dict[str, Any]) -> Version:
    number = entry["version"]
    timestamp = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
    metadata = entry.get(_METADATA_KEY)
    if metadata is None:
        return Version(number, number - 1 if number else None, timestamp, f"{entry['operation']} by another program")
    return Version(number=number, timestamp=timestamp, **metadata)
