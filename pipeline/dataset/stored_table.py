"""The files of the sample table at one version: what they hold, and how a commit changes them.

A version is a file of rows in the order of `image_id` and, beside it, files of rows that were added or changed since,
one for each commit. Reading takes the newest row of each image. Where replaced rows come to half of those that stand,
a commit writes all rows into one file again; where files come to 32, it writes the smallest half of them into one. So
reading costs at most half as much again as it would.

Chosen by measuring 1 M images with 5 boxes each, of which 10,000 change (CPU seconds, bytes written): rewriting the
table 9.6 s and 358 MB; Delta's `MERGE` over 256 buckets 14 s and 353 MB, since ids are hashes and every file changes;
files of changed rows 1.6 s and 2.7 MB. Lance writes as little, but returns no rows in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds

from pipeline.dataset import delta
from pipeline.dataset.checksums import RowSums, require_whole_log, seal
from pipeline.dataset.reading import CHANGED_IN, STORED_SCHEMA, Wanted, pieces
from pipeline.dataset.row_files import write_rows
from pipeline.dataset.versions import CommitMetadata, Counting, Counts, Version, counts_after
from pipeline.folder import Folder
from pipeline.records import SAMPLE_SCHEMA, of_images

_MOST_FILES = 32
_MOST_REPLACED = 0.5
"""Replaced rows in the files, as a share of those that stand."""
_COUNTED = Wanted(["image_id", "split", "state", "boxes"], box_fields=("label", "source"))


class StoredTable:
    """The sample table at one version.

    Args:
        folder: Of the table.
        table: This version, or a later one, as it was opened.
        contents: What this version consists of.
        sums: Checksums of the files of rows.
    """

    def __init__(self, folder: Folder, table: delta.Table, contents: delta.Contents, sums: RowSums) -> None:
        self._folder, self._table, self._contents, self._sums = folder, table, contents, sums

    @classmethod
    def opened(cls, uri: str, version: int | None = None) -> StoredTable:
        """Open a version; the latest by default.

        Raises:
            ArtefactError: There is no table, or no such version, or its log is damaged.
        """
        folder = Folder(uri)
        require_whole_log(folder)
        table = delta.open_table(uri, version)
        return cls(folder, table, delta.contents(table), RowSums(folder))

    def up_to_here(self) -> Iterator[StoredTable]:
        """Every version up to this one, oldest first, for reading: opened together they cost less than one by one."""
        for contents in delta.contents_by_version(self._table):
            yield StoredTable(self._folder, self._table, contents, self._sums)

    @property
    def number(self) -> int:
        """Number of the version."""
        return self._contents.number

    def files(self) -> frozenset[str]:
        """Names of the files that hold its rows."""
        return self._contents.files

    def new_files(self) -> list[frozenset[str]]:
        """Of each version up to this one, the names of files that the one before does not have."""
        files = [frozenset[str](), *(table.files() for table in self.up_to_here())]
        return [own - before for before, own in pairwise(files)]

    def history(self) -> list[Version]:
        """All versions up to this one, oldest first."""
        return delta.history(self._table)[: self.number + 1]

    def read(self, wanted: Wanted, files: Collection[str] | None = None) -> Iterator[pa.Table]:
        """Read the newest row of each image, see `pieces`, in all files or in some."""
        chosen = self.files() if files is None else files
        self._sums.require_whole(chosen)
        return pieces(self._dataset(chosen), wanted, self._name)

    def read_together(self, wanted: Wanted) -> pa.Table:
        """Read the newest row of each image, see `pieces`, into one table."""
        return pa.concat_tables([wanted.schema.empty_table(), *self.read(wanted)])

    def rows_since(self, version: int) -> pa.Table:
        """Rows that are newer than a version from which this one was made, with `SAMPLE_SCHEMA`.

        Rows in which an earlier release does not say when they changed are taken for newer.
        """
        if version == self.number:
            return SAMPLE_SCHEMA.empty_table()
        newer = (pc.field(CHANGED_IN) > version) | pc.field(CHANGED_IN).is_null()
        known = CHANGED_IN in self._contents.schema.names
        # An image has no newer row than these, so that older ones need not be read.
        return self.read_together(Wanted(SAMPLE_SCHEMA.names, newer if known else None))

    def with_others(self, rows: pa.Table, image_ids: Collection[str]) -> pa.Table:
        """Rows that were read, and those of the other images that are named, sorted by `image_id`."""
        others = {*image_ids} - {*rows["image_id"].to_pylist()}
        if not others:
            return rows
        found = self.read_together(Wanted(SAMPLE_SCHEMA.names, of_images(others)))
        return pa.concat_tables([rows, found]).sort_by("image_id")

    def change(self, rows: Iterable[pa.Table], latest: Version, metadata: CommitMetadata) -> int:
        """Make a version in which these rows replace or join the others.

        Args:
            rows: Pieces in the order of `image_id`, each image once.
            latest: This version.
            metadata: What the new version says of itself, without its `counts`.

        Returns:
            Number of the version.

        Raises:
            ArtefactError: Somebody else committed at the same time; nothing was written.
        """
        counting = Counting(self._counts(latest), self._replaced_by)
        added = write_rows(self._folder, as_stored(counting.count(rows), self.number + 1))
        gone = self._superfluous(added.rows, sum(counting.counts["images"].values()))
        new = [added] if added.rows else []
        if gone:
            new = [write_rows(self._folder, self._rewritten(gone, added.name))]
        if added not in new:
            self._folder.remove(added.name)
        number = delta.exchange(self._table, gone, new, STORED_SCHEMA, {**metadata, "counts": counting.counts})
        seal(self._folder)
        return number

    def _counts(self, latest: Version) -> Counts:
        """What this version holds; its own counts are believed unless another program made it."""
        counts = latest.counts
        if latest.foreign:
            for piece in self.read(_COUNTED):
                counts = counts_after(counts, piece.slice(0, 0), piece)
        return counts

    def _replaced_by(self, rows: pa.Table) -> pa.Table:
        return self.read_together(replace(_COUNTED, images=of_images(rows["image_id"].to_pylist())))

    def restore(self, version: int, metadata: CommitMetadata) -> int:
        """Make a version that holds the rows of an earlier one; returns its number."""
        number = delta.restore(self._table, version, metadata)
        seal(self._folder)
        return number

    def _superfluous(self, added: int, standing: int) -> set[str]:
        """Files whose rows are to be written again, with those that are added.

        All of them where rows that were replaced are many, or columns are missing; where files are many, the smallest,
        so that a row is written again a few times in the life of the table.
        """
        sizes = delta.sizes(self._table)
        if self._contents.schema != STORED_SCHEMA or None in sizes.values():
            return set(sizes)
        known = {name: size or 0 for name, size in sizes.items()}
        if sum(known.values()) + added - standing > _MOST_REPLACED * standing:
            return set(known)
        smallest = sorted(known, key=lambda name: (known[name], name))
        return set(smallest[: _MOST_FILES // 2]) if len(known) >= _MOST_FILES else set()

    def _rewritten(self, files: Collection[str], added: str) -> Iterator[pa.Table]:
        """The newest rows among some files and one that is part of no version yet."""
        self._sums.require_whole(files)
        newer = self._dataset([added], STORED_SCHEMA)
        for piece in pieces(self._dataset(files), Wanted(STORED_SCHEMA.names), self._name, newer):
            # Of a row from an earlier release no more is known than that it changed by now.
            column = pc.fill_null(piece[CHANGED_IN], self.number)
            yield piece.set_column(piece.column_names.index(CHANGED_IN), STORED_SCHEMA.field(CHANGED_IN), column)

    def _dataset(self, files: Collection[str], schema: pa.Schema | None = None) -> pds.Dataset:
        # Delta's own has a guarantee for each file that fails on the columns of earlier releases.
        files_of, folder = self._folder.arrow()
        kind = pds.ParquetFileFormat()
        found = [kind.make_fragment(f"{folder}/{name}", files_of) for name in sorted(files)]
        return pds.FileSystemDataset(found, schema or self._contents.schema, kind, files_of)

    @property
    def _name(self) -> str:
        return f"{self._folder.uri}, version {self.number}"


def create_table(uri: str, rows: Iterable[pa.Table], metadata: CommitMetadata) -> int:
    """Make version 0 of a table; returns its number.

    Args:
        uri: Folder or URI of the table.
        rows: As for `StoredTable.change`.
        metadata: What the version says of itself, without its `counts`.

    Raises:
        ArtefactError: Somebody else made one at the same time.
    """
    folder, counting = Folder(uri), Counting()
    file = write_rows(folder, as_stored(counting.count(rows), 0))
    number = delta.create(uri, file, STORED_SCHEMA, {**metadata, "counts": counting.counts})
    seal(folder)
    return number


def as_stored(rows: Iterable[pa.Table], version: int) -> Iterator[pa.Table]:
    """Rows as a file holds them."""
    for piece in rows:
        changed = pa.repeat(pa.scalar(version, pa.int32()), len(piece))
        yield piece.append_column(STORED_SCHEMA.field(CHANGED_IN), changed)
