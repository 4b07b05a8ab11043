"""The sample table and its versions: the only door to Delta Lake.

One commit is one dataset version. Each version is a single file, whole and sorted by `image_id`: that keeps reads in
order without sorting, makes a commit one atomic swap, and costs a rewrite of the table (200,000 images are tens of
megabytes). Nothing expires, so that every version stays readable: the table keeps files and log for a hundred years,
and only a `VACUUM` that is forced below that destroys versions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from pipeline.dataset.code_version import code_version
from pipeline.dataset.reading import condition, pieces, rebatched
from pipeline.dataset.validity import require_valid
from pipeline.dataset.versions import Version, count_rows, standing_versions
from pipeline.errors import ArtefactError, RowsGoneError
from pipeline.records import (
    SAMPLE_SCHEMA,
    Sample,
    Split,
    State,
    of_images,
    samples_from_table,
    samples_to_table,
)
from pipeline.workspace import Folder

MINED_STATES = (State.POOL, State.PSEUDO, State.QUEUED)
"""Images of the pool that nobody has answered or declined."""
_METADATA_KEY = "crosscheck"
_ROWS_A_GROUP = 8192
_ONE_FILE = 2**40
_KEEP_FOR_GOOD = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}


@dataclass(frozen=True, slots=True)
class Removal:
    """What a removal of rows takes away.

    Attributes:
        versions: Versions that cannot be read afterwards.
        size: Bytes of their files, and of files that a killed commit left behind.
    """

    versions: tuple[int, ...]
    size: int


class SampleStore:
    """The sample table of one project.

    Args:
        uri: Folder or URI of the Delta table; credentials come from the environment.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri

    @property
    def uri(self) -> str:
        """Folder or URI of the Delta table."""
        return self._uri

    def exists(self) -> bool:
        """Tell whether there is a table, that is, at least version 0."""
        return DeltaTable.is_deltatable(self._uri)

    def version(self) -> int:
        """Number of the latest version.

        Raises:
            ArtefactError: There is no table.
        """
        return self._open().version()

    def commit(
        self,
        samples: Sequence[Sample] | pa.Table,
        *,
        reason: str,
        key: str,
        cycle: int | None = None,
        model_id: str = "",
        settings_digest: str = "",
        details: dict[str, Any] | None = None,
    ) -> int:
        """Insert or replace rows by `image_id`, as one new version; the first commit creates the table.

        Args:
            samples: New and changed rows, each `image_id` once; rows not named stay as they are. May be empty.
            reason: Why, in words for a person.
            key: What makes this commit, for instance `cycle 3 harvest`. Where a version with this key stands (no
                later restore undid it), nothing is written: a stage that was killed can simply run again.
            cycle: Cycle that commits; None outside a cycle.
            model_id: Model whose boxes are committed.
            settings_digest: Settings in use.
            details: Anything else to keep with the version, JSON without NaN.

        Returns:
            Number of the version that holds these rows.

        Raises:
            ArtefactError: Somebody else committed at the same time; nothing was written.
            ValueError: The reason or key is empty, a row is not fit for the table, or the details are no JSON.
        """
        if not reason or not key:
            raise ValueError(f"Expected a reason and a key, got {reason!r} and {key!r}")
        rows = require_valid(samples if isinstance(samples, pa.Table) else samples_to_table(samples))
        table = self._open() if self.exists() else None
        if table is not None:
            done = next((version for version in standing_versions(_history(table)) if version.key == key), None)
            if done is not None:
                return done.number
            others = ~pc.field("image_id").isin(rows["image_id"].combine_chunks())
            rows = pa.concat_tables([*_read(table, SAMPLE_SCHEMA.names, others), rows])
        rows = rows.sort_by("image_id")
        metadata = {
            "reason": reason,
            "key": key,
            "cycle": cycle,
            "model_id": model_id,
            "settings_digest": settings_digest,
            "counts": count_rows(rows),
            "details": details or {},
        }
        return self._write(table, rows, metadata)

    def restore(self, version: int, reason: str) -> int:
        """Bring back the rows of an earlier version, as a new version; nothing in between is lost.

        Args:
            version: Number of the version to bring back.
            reason: Why, in words for a person.

        Returns:
            Number of the new version; of the latest one where it holds these rows already.

        Raises:
            ArtefactError: There is no such version, or somebody else committed at the same time.
            RowsGoneError: Its rows were removed.
        """
        wanted = _files(self._open(version))
        table = self._open()
        versions = _history(table)
        latest = versions[-1]
        if version in {latest.number, latest.restored}:
            return latest.number
        if not wanted <= set(Folder(self._uri).names()):
            raise RowsGoneError(f"{self._uri}, version {version}: its file is gone (vacuumed or deleted).")
        metadata = {"reason": reason, "restored": version, "counts": versions[version].counts}
        with _conflicts_explained(self._uri):
            table.restore(version, commit_properties=_properties(latest.number, metadata))
        return latest.number + 1

    def remove_rows(self, kept: Collection[int], *, apply: bool) -> Removal:
        """Remove the files of all versions but some; the history keeps naming them, and their rows cannot be read.

        Args:
            kept: Versions that stay readable; the latest one always does.
            apply: Remove; otherwise only tell what would go.

        Returns:
            What goes, or went.

        Raises:
            ArtefactError: There is no table, or no such version.
        """
        latest = self.version()
        files = {number: _files(self._open(number)) for number in range(latest + 1)}
        used = set().union(*(files[number] for number in {*kept, latest}))
        folder = Folder(self._uri)
        there = {name for name in folder.names() if name.endswith(".parquet")}
        gone = tuple(number for number, names in files.items() if not names <= used and names & there)
        size = sum(folder.size(name) for name in there - used)
        for name in sorted(there - used) if apply else ():
            folder.remove(name)
        return Removal(gone, size)

    def table(
        self,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        states: Collection[State] | None = None,
        splits: Collection[Split] | None = None,
    ) -> pa.Table:
        """Read rows.

        Args:
            version: Number of a version; the latest by default.
            columns: Names of columns to read; all by default.
            states: Only images in these states; all by default.
            splits: Only images of these splits; all by default.

        Returns:
            A table with these columns of `SAMPLE_SCHEMA`, sorted by `image_id`.

        Raises:
            ArtefactError: There is no such version.
        """
        wanted = list(columns or SAMPLE_SCHEMA.names)
        schema = pa.schema([SAMPLE_SCHEMA.field(name) for name in wanted])
        return pa.Table.from_batches(self.stream(version, wanted, states, splits), schema)

    def samples(
        self,
        version: int | None = None,
        states: Collection[State] | None = None,
        splits: Collection[Split] | None = None,
    ) -> list[Sample]:
        """Read rows as records, see `table`."""
        return samples_from_table(self.table(version, None, states, splits))

    def labeled(self, split: Split) -> list[Sample]:
        """Images of a split that people have labelled."""
        return self.samples(states=[State.LABELED], splits=[split])

    def training(self) -> list[Sample]:
        """Images to learn from: labelled training images, then pseudo-labelled ones of the pool."""
        return self.labeled(Split.TRAIN) + self.samples(states=[State.PSEUDO])

    def pool(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Images of the pool that are mined afresh every cycle; what people answered or declined stays."""
        return self.table(columns=columns, states=MINED_STATES, splits=[Split.POOL])

    def by_ids(self, image_ids: Iterable[str], version: int | None = None) -> list[Sample]:
        """Some images of a version, in the order of `image_id`; those that it does not hold are left out."""
        wanted = of_images(image_ids)
        rows = _read(self._open(version), SAMPLE_SCHEMA.names, wanted)
        table = pa.concat_tables([SAMPLE_SCHEMA.empty_table(), *rows])
        return samples_from_table(table)

    def stream(
        self,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        states: Collection[State] | None = None,
        splits: Collection[Split] | None = None,
        batch_rows: int = _ROWS_A_GROUP,
    ) -> Iterator[pa.RecordBatch]:
        """Read rows piece by piece, in memory that does not grow with the table.

        Args:
            version: Number of a version; the latest by default.
            columns: Names of columns to read; all by default.
            states: Only images in these states; all by default.
            splits: Only images of these splits; all by default.
            batch_rows: Rows a batch; the last one may be shorter.

        Yields:
            Batches in the order of `image_id`; none for no rows.

        Raises:
            ArtefactError: There is no such version, or its rows are not in order: another program rewrote it.
        """
        wanted = list(columns or SAMPLE_SCHEMA.names)
        yield from rebatched(_read(self._open(version), wanted, condition(states, splits)), batch_rows)

    def history(self) -> list[Version]:
        """All versions, oldest first.

        Raises:
            ArtefactError: There is no table.
        """
        return _history(self._open())

    def _write(self, table: DeltaTable | None, rows: pa.Table, metadata: dict[str, Any]) -> int:
        parent = None if table is None else table.version()
        with _conflicts_explained(self._uri):
            write_deltalake(
                self._uri if table is None else table,
                rows,
                mode="error" if table is None else "overwrite",
                # A table of an earlier release takes on the fields that boxes have got since.
                schema_mode=None if table is None else "overwrite",
                configuration=_KEEP_FOR_GOOD if table is None else None,
                target_file_size=_ONE_FILE,
                writer_properties=WriterProperties(compression="ZSTD", max_row_group_size=_ROWS_A_GROUP),
                commit_properties=_properties(parent, metadata),
            )
        return 0 if parent is None else parent + 1

    def _open(self, version: int | None = None) -> DeltaTable:
        try:
            table = DeltaTable(self._uri)
        except TableNotFoundError as fault:
            raise ArtefactError(
                f"Expected a sample table at {self._uri}, found none. Run `crosscheck import` first."
            ) from fault
        latest = table.version()
        if version is not None and version != latest:
            if not 0 <= version <= latest:
                raise ArtefactError(f"Expected a dataset version from 0 to {latest}, got {version}.")
            table.load_as_version(version)
        return table


def _files(table: DeltaTable) -> set[str]:
    return {uri.rsplit("/", 1)[-1] for uri in table.file_uris()}


def _read(table: DeltaTable, columns: Sequence[str], rows: pc.Expression | None) -> Iterator[pa.Table]:
    return pieces(table.to_pyarrow_dataset(), columns, rows, f"{table.table_uri}, version {table.version()}")


def _properties(parent: int | None, metadata: dict[str, Any]) -> CommitProperties:
    # Without retries a commit that meets another one fails: its counts and rows were made from an older version.
    made = {"parent": parent, "code_version": code_version(), **metadata}
    content = json.loads(json.dumps(made, allow_nan=False))
    return CommitProperties(custom_metadata={_METADATA_KEY: content}, max_commit_retries=0)


@contextmanager
def _conflicts_explained(uri: str) -> Iterator[None]:
    try:
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


def _history(table: DeltaTable) -> list[Version]:
    return [_version(entry) for entry in reversed(table.history())]


def _version(entry: dict[str, Any]) -> Version:
    number = entry["version"]
    timestamp = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
    metadata = entry.get(_METADATA_KEY)
    if metadata is None:
        return Version(number, number - 1 if number else None, timestamp, f"{entry['operation']} by another program")
    return Version(number=number, timestamp=timestamp, **metadata)
