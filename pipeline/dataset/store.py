"""The sample table and its versions.

One commit is one dataset version, and costs what it changes: a version is a file of rows in the order of `image_id`
and, beside it, files of rows that were added or changed since, one for each commit. Reading takes the newest row of
each image. Where replaced rows come to half of those that stand, a commit writes all rows into one file again; where
files come to 32, it writes the smallest half of them into one. So reading costs at most half as much again as it would.

Chosen by measuring 1 M images with 5 boxes each, of which 10,000 change (CPU seconds, bytes written): rewriting
the table 9.6 s and 358 MB; Delta's `MERGE` over 256 buckets 14 s and 353 MB, since ids are hashes and every file
changes; files of changed rows: see `python scripts/scale.py`. Lance writes as little, but returns no rows in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
from deltalake import DeltaTable

from pipeline.dataset import delta
from pipeline.dataset.checksums import require_whole_rows, seal
from pipeline.dataset.reading import CHANGED_IN, STORED_SCHEMA, Wanted, condition, pieces, rebatched
from pipeline.dataset.row_files import write_rows
from pipeline.dataset.validity import require_valid
from pipeline.dataset.versions import Counts, Version, common_version, count_rows, counts_after, standing_versions
from pipeline.errors import RowsGoneError
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
_BATCH_ROWS = 8192
_MOST_FILES = 32
_MOST_REPLACED = 0.5
"""Replaced rows in the files, as a share of those that stand."""
_COUNTED = ["image_id", "split", "state", "boxes"]


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
        return delta.is_table(self._uri)

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
        made = {
            "reason": reason,
            "key": key,
            "cycle": cycle,
            "model_id": model_id,
            "settings_digest": settings_digest,
            "details": details or {},
        }
        if not self.exists():
            file = write_rows(Folder(self._uri), [_stored(rows, 0)])
            return delta.create(self._uri, file, STORED_SCHEMA, {**made, "counts": count_rows(rows)})
        table = self._open()
        versions = delta.history(table)
        done = next((version for version in standing_versions(versions) if version.key == key), None)
        if done is not None:
            seal(Folder(self._uri))
            return done.number
        return self._change(table, rows, {**made, "counts": _counts(table, versions[-1], rows)})

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
        wanted = delta.data_files(self._open(version))
        table = self._open()
        versions = delta.history(table)
        latest = versions[-1]
        if version in {latest.number, latest.restored}:
            return latest.number
        if not wanted <= set(Folder(self._uri).names()):
            raise RowsGoneError(f"{self._uri}, version {version}: a file is gone (vacuumed or deleted).")
        metadata = {"reason": reason, "restored": version, "counts": versions[version].counts}
        return delta.restore(table, version, metadata)

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
        files = {number: delta.data_files(self._open(number)) for number in range(latest + 1)}
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
        return samples_from_table(self.rows_of(image_ids, version))

    def rows_of(
        self, image_ids: Iterable[str], version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Read the rows of some images, see `by_ids`, with these columns; all by default."""
        wanted = Wanted(list(columns or SAMPLE_SCHEMA.names), of_images(image_ids))
        return _together(_read(self._open(version), wanted), wanted.columns)

    def changed_rows(self, old: int, new: int) -> tuple[pa.Table, pa.Table]:
        """Read all rows in which two versions may differ; what it costs follows the changes between them.

        Args:
            old: A version.
            new: Another version.

        Returns:
            Rows of the old and of the new one, both with `SAMPLE_SCHEMA` and sorted by `image_id`; all of them where
            another program made a version in between.

        Raises:
            ArtefactError: There is no such version.
            RowsGoneError: The rows of one were removed.
        """
        common = common_version(self.history(), *(self._open(number).version() for number in (old, new)))
        if common is None:
            return self.table(old), self.table(new)
        changed = {image_id for number in {old, new} - {common} for image_id in self._changed_since(common, number)}
        return self.rows_of(changed, old), self.rows_of(changed, new)

    def _changed_since(self, common: int, version: int) -> list[str]:
        """Images of a version whose rows are newer than another one from which it was made."""
        rows = _together(_read(self._open(version), Wanted(["image_id", CHANGED_IN])), ["image_id", CHANGED_IN])
        newer = pc.fill_null(pc.greater(rows[CHANGED_IN], common), True)
        return list(rows.filter(newer)["image_id"].to_pylist())

    def stream(
        self,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        states: Collection[State] | None = None,
        splits: Collection[Split] | None = None,
        batch_rows: int = _BATCH_ROWS,
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
        wanted = Wanted(list(columns or SAMPLE_SCHEMA.names), rows=condition(states, splits))
        yield from rebatched(_read(self._open(version), wanted), batch_rows)

    def history(self) -> list[Version]:
        """All versions, oldest first.

        Raises:
            ArtefactError: There is no table.
        """
        return delta.history(self._open())

    def _change(self, table: DeltaTable, rows: pa.Table, metadata: dict[str, Any]) -> int:
        """Write rows, and with them those of files that they make superfluous."""
        stored = _stored(rows, table.version() + 1)
        gone = _superfluous(table, len(rows), metadata["counts"])
        everything = [stored]
        if gone:
            found = _read(table, Wanted(STORED_SCHEMA.names), stored, gone)
            everything = (_changed_by(piece, table.version()) for piece in found)
        return delta.exchange(table, gone, write_rows(Folder(self._uri), everything), STORED_SCHEMA, metadata)

    def _open(self, version: int | None = None) -> DeltaTable:
        return delta.open_table(self._uri, version)


def _superfluous(table: DeltaTable, added: int, counts: Counts) -> set[str]:
    """Files whose rows are to be written again, with those that are added.

    All of them where rows that were replaced are many, or columns are missing; where files are many, the smallest, so
    that a row is written again a few times in the life of the table.
    """
    sizes, standing = delta.sizes(table), sum(counts["images"].values())
    earlier = table.to_pyarrow_dataset().schema != STORED_SCHEMA or None in sizes.values()
    if earlier or sum(sizes.values()) + added - standing > _MOST_REPLACED * standing:
        return set(sizes)
    smallest = sorted(sizes, key=lambda name: (sizes[name], name))
    return set(smallest[: _MOST_FILES // 2]) if len(sizes) >= _MOST_FILES else set()


def _counts(table: DeltaTable, latest: Version, rows: pa.Table) -> Counts:
    """What the table holds when these rows are in it."""
    before = latest.counts
    if latest.foreign:
        for piece in _read(table, Wanted(_COUNTED)):
            before = counts_after(before, piece.slice(0, 0), piece)
    replaced = _read(table, Wanted(_COUNTED, of_images(rows["image_id"].to_pylist())))
    return counts_after(before, _together(replaced, _COUNTED), rows)


def _stored(rows: pa.Table, version: int) -> pa.Table:
    """Rows as a file holds them."""
    changed = pa.repeat(pa.scalar(version, pa.int32()), len(rows))
    return rows.sort_by("image_id").append_column(STORED_SCHEMA.field(CHANGED_IN), changed)


def _changed_by(rows: pa.Table, version: int) -> pa.Table:
    """Rows of an earlier release, which says no more than that they changed by this version."""
    column = pc.fill_null(rows[CHANGED_IN], version)
    return rows.set_column(rows.column_names.index(CHANGED_IN), STORED_SCHEMA.field(CHANGED_IN), column)


def _read(
    table: DeltaTable, wanted: Wanted, newer: pa.Table | None = None, files: Collection[str] | None = None
) -> Iterator[pa.Table]:
    """Newest rows; of some files, and of rows that are not written yet, if so wished."""
    require_whole_rows(Folder(delta.place(table)), delta.data_files(table) if files is None else files)
    rows = table.to_pyarrow_dataset()
    if files is not None:
        chosen = [file for file in rows.get_fragments() if file.path.rsplit("/", 1)[-1] in files]
        rows = pds.FileSystemDataset(chosen, rows.schema, rows.format, rows.filesystem)
    return pieces(rows, wanted, f"{delta.place(table)}, version {table.version()}", newer)


def _together(tables: Iterable[pa.Table], columns: Sequence[str]) -> pa.Table:
    schema = pa.schema([STORED_SCHEMA.field(name) for name in columns])
    return pa.concat_tables([schema.empty_table(), *tables])
