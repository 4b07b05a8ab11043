"""The sample table and its versions: one commit is one dataset version, and costs what it changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from pipeline.dataset import delta
from pipeline.dataset.checksums import is_sealed, seal
from pipeline.dataset.reading import Wanted, condition, rebatched
from pipeline.dataset.stored_table import StoredTable, create_table
from pipeline.dataset.validity import valid_pieces
from pipeline.dataset.versions import CommitMetadata, Version, common_version, standing_versions
from pipeline.errors import DataError, RowsGoneError
from pipeline.folder import Folder
from pipeline.records import (
    SAMPLE_SCHEMA,
    Sample,
    Split,
    State,
    of_images,
    samples_from_table,
    samples_to_table,
)

MINED_STATES = (State.POOL, State.PSEUDO, State.QUEUED)
"""Images of the pool that nobody has answered or declined."""
_BATCH_ROWS = 8192


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
        """Tell whether there is a table, that is, at least version 0; one whose log is lost was there."""
        return delta.is_table(self._uri) or is_sealed(Folder(self._uri))

    def version(self) -> int:
        """Number of the latest version.

        Raises:
            ArtefactError: There is no table.
        """
        return self._open().number

    def commit(
        self,
        samples: Sequence[Sample] | pa.Table | Iterator[pa.Table],
        *,
        reason: str,
        key: str,
        cycle: int | None = None,
        model_id: str = "",
        settings_digest: str = "",
        details: Mapping[str, object] | None = None,
    ) -> int:
        """Insert or replace rows by `image_id`, as one new version; the first commit creates the table.

        Args:
            samples: New and changed rows, each `image_id` once; rows not named stay as they are. May be empty. Pieces
                of a large table may come one by one, in the order of `image_id`: they are never held together.
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
        rows = valid_pieces(samples if isinstance(samples, pa.Table | Iterator) else samples_to_table(samples))
        made: CommitMetadata = {
            "reason": reason,
            "key": key,
            "cycle": cycle,
            "model_id": model_id,
            "settings_digest": settings_digest,
            "details": details or {},
        }
        if not self.exists():
            return create_table(self._uri, rows, made)
        table = self._open()
        versions = table.history()
        done = next((version for version in standing_versions(versions) if version.key == key), None)
        if done is not None:
            seal(Folder(self._uri))
            return done.number
        return table.change(rows, versions[-1], made)

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
        wanted = self._open(version).files()
        table = self._open()
        versions = table.history()
        latest = versions[-1]
        if version in {latest.number, latest.restored}:
            return latest.number
        if not wanted <= set(Folder(self._uri).names()):
            raise RowsGoneError(f"{self._uri}, version {version}: a file is gone (vacuumed or deleted).")
        metadata: CommitMetadata = {"reason": reason, "restored": version, "counts": versions[version].counts}
        return table.restore(version, metadata)

    def readable_versions(self) -> frozenset[int]:
        """Numbers of the versions whose rows are all there.

        Raises:
            ArtefactError: There is no table.
        """
        there = set(Folder(self._uri).names())
        return frozenset(table.number for table in self._every() if table.files() <= there)

    def table(
        self,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        states: Collection[State] | None = None,
        splits: Collection[Split] | None = None,
        box_fields: tuple[str, ...] = (),
    ) -> pa.Table:
        """Read rows.

        Args:
            version: Number of a version; the latest by default.
            columns: Names of columns to read; all by default.
            states: Only images in these states; all by default.
            splits: Only images of these splits; all by default.
            box_fields: The only fields of `boxes` to read, in less than half the time; all by default.

        Returns:
            A table with these columns of `SAMPLE_SCHEMA`, sorted by `image_id`.

        Raises:
            ArtefactError: There is no such version.
        """
        wanted = Wanted(list(columns or SAMPLE_SCHEMA.names), rows=condition(states, splits), box_fields=box_fields)
        return self._open(version).read_together(wanted)

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
        """Images to learn from: labelled training images, then pseudo-labelled ones of the pool.

        Raises:
            DataError: There is none.
        """
        images = self.labeled(Split.TRAIN) + self.samples(states=[State.PSEUDO])
        if not images:
            raise DataError(
                f"Expected labelled training images in {self.uri}, found none. Import some, or set labeling.backend "
                "and run `crosscheck cycle`, which asks people for the first ones."
            )
        return images

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
        return self._open(version).read_together(Wanted(list(columns or SAMPLE_SCHEMA.names), of_images(image_ids)))

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
        tables = [self._open(number) for number in (old, new)]
        common = common_version(self.history(), *(table.number for table in tables))
        if common is None:
            return self.table(old), self.table(new)
        newer = [table.rows_since(common) for table in tables]
        changed = {image_id for rows in newer for image_id in rows["image_id"].to_pylist()}
        before, after = (table.with_others(rows, changed) for table, rows in zip(tables, newer, strict=True))
        return before, after

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
        yield from rebatched(self._open(version).read(wanted), batch_rows)

    def history(self) -> list[Version]:
        """All versions, oldest first.

        Raises:
            ArtefactError: There is no table.
        """
        return self._open().history()

    def _open(self, version: int | None = None) -> StoredTable:
        return StoredTable.opened(self._uri, version)

    def _every(self) -> Sequence[StoredTable]:
        """Every version, oldest first."""
        return list(self._open().up_to_here())
