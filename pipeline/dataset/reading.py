"""Rows of one version, in order, a group at a time: of each image the newest row among the version's files."""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds

from pipeline.errors import ArtefactError, RowsGoneError
from pipeline.records import SAMPLE_SCHEMA, Split, State

CHANGED_IN = "changed_in"
"""Column of the files: the version that wrote the row; null in files of earlier releases, where each image is once."""

STORED_SCHEMA = SAMPLE_SCHEMA.append(pa.field(CHANGED_IN, pa.int32()))
"""What the files hold."""

_PART_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows and columns of a version are read.

    Attributes:
        columns: Names of columns, in this order.
        images: Filter by `image_id`, by which parts of files are left out; all images for None.
        rows: Filter by `state` and `split`, of the newest row of an image; all rows for None.
    """

    columns: Sequence[str]
    images: pc.Expression | None = None
    rows: pc.Expression | None = None


def condition(states: Collection[State] | None, splits: Collection[Split] | None) -> pc.Expression | None:
    """Say which rows are wanted.

    Args:
        states: Only images in these states; all for None.
        splits: Only images of these splits; all for None.

    Returns:
        A filter; None for all rows.
    """
    parts = [
        pc.field(name).isin(pa.array([str(value) for value in values], pa.string()))
        for name, values in (("state", states), ("split", splits))
        if values is not None
    ]
    return functools.reduce(operator.and_, parts) if parts else None


def pieces(dataset: pds.Dataset, wanted: Wanted, name: str, newer: pa.Table | None = None) -> Iterator[pa.Table]:
    """Read the newest row of each image, in memory that does not grow with the table.

    Every file is in the order of `image_id`. All are read side by side, a group of rows at a time (a scan of a whole
    file would keep all that it read ahead), up to the least id at which a group ends.

    Args:
        dataset: The files of one version.
        wanted: What to read.
        name: The version, for error messages.
        newer: Rows as a file holds them, in order, that are read as one more file.

    Yields:
        Tables with the wanted columns in the order of `image_id`; they may be empty.

    Raises:
        ArtefactError: A file is not in order, or two of them hold rows of an image and none says which is newer.
        RowsGoneError: A file is gone.
    """
    by = [] if wanted.rows is None else ["state", "split"]
    columns = list(dict.fromkeys(["image_id", *wanted.columns, *by]))
    try:
        found = [_groups(file, dataset, columns, wanted.images) for file in dataset.get_fragments(wanted.images)]
        files = [_File(groups, name) for groups in [*found, *([] if newer is None else [_parts(newer, columns)])]]
        while files := [file for file in files if file.rows.num_rows]:
            bound = min(file.last for file in files)
            newest = _newest([file.take_until(bound) for file in files], name)
            yield (newest if wanted.rows is None else newest.filter(wanted.rows)).select(wanted.columns)
    except FileNotFoundError as fault:
        raise RowsGoneError(f"{name}: its file is gone (vacuumed or deleted). Name another version.") from fault


def rebatched(tables: Iterable[pa.Table], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Cut tables into batches of one size.

    Args:
        tables: Tables of one schema, of any size.
        batch_rows: Rows a batch.

    Yields:
        Batches of `batch_rows`, the last one may be shorter; none for no rows.
    """
    rest: pa.Table | None = None
    for table in tables:
        rest = table if rest is None else pa.concat_tables([rest, table])
        while rest.num_rows >= batch_rows:
            yield rest.slice(0, batch_rows).combine_chunks().to_batches()[0]
            rest = rest.slice(batch_rows)
    if rest is not None and rest.num_rows:
        yield rest.combine_chunks().to_batches()[0]


class _File:
    """Rows of one file that nobody has taken yet, a group of them."""

    def __init__(self, groups: Iterator[pa.Table], name: str) -> None:
        self._groups, self._name = groups, name
        self.rows, self.last = STORED_SCHEMA.empty_table(), ""
        self._next()

    def take_until(self, bound: str) -> pa.Table:
        """Take the rows up to an `image_id`, which is not beyond the group."""
        if self.last <= bound:
            taken = self.rows
            self._next()
            return taken
        size = pc.sum(pc.less_equal(self.rows["image_id"], bound)).as_py()
        taken, self.rows = self.rows.slice(0, size), self.rows.slice(size)
        return taken

    def _next(self) -> None:
        self.rows = next((rows for rows in self._groups if rows.num_rows), STORED_SCHEMA.empty_table())
        if not self.rows.num_rows:
            return
        ids = pa.concat_arrays([pa.array([self.last]), *self.rows["image_id"].chunks])
        if not pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py():
            raise ArtefactError(_rewritten(self._name, "rows in the order of image_id"))
        self.last = ids[-1].as_py()


def _groups(
    file: pds.Fragment, dataset: pds.Dataset, columns: Sequence[str], images: pc.Expression | None
) -> Iterator[pa.Table]:
    """Groups of a file's rows, as this release has them."""
    there = [name for name in dict.fromkeys([*columns, CHANGED_IN]) if name in dataset.schema.names]
    # Other programs may write texts of a type that no filter of ours compares with.
    ours = file.physical_schema.field("image_id").type == pa.string()
    for group in file.split_by_row_group(images if ours else None, schema=dataset.schema):
        rows = group.to_table(dataset.schema, there, images if ours else None, use_threads=False)
        rows = rows if ours or images is None else rows.filter(images)
        yield _as_now(rows if CHANGED_IN in there else rows.append_column(CHANGED_IN, pa.nulls(len(rows), pa.int32())))


def _parts(table: pa.Table, columns: Sequence[str]) -> Iterator[pa.Table]:
    rows = table.select(list(dict.fromkeys([*columns, CHANGED_IN])))
    return (rows.slice(start, _PART_ROWS) for start in range(0, len(rows), _PART_ROWS))


def _newest(parts: Sequence[pa.Table], name: str) -> pa.Table:
    filled = [part for part in parts if part.num_rows]
    if len(filled) == 1:
        return filled[0]
    rows = pa.concat_tables(filled).sort_by([("image_id", "ascending"), (CHANGED_IN, "descending")])
    ids, changed = rows["image_id"].combine_chunks(), pc.fill_null(rows[CHANGED_IN].combine_chunks(), -1)
    older = pc.equal(ids[1:], ids[:-1])
    if pc.any(pc.and_(older, pc.equal(changed[1:], changed[:-1])), min_count=0).as_py():
        raise ArtefactError(_rewritten(name, "one newest row of each image"))
    return rows.filter(pa.concat_arrays([pa.array([True]), pc.invert(older)]))


def _rewritten(name: str, expected: str) -> str:
    return f"{name}: expected {expected}, another program rewrote them. Restore the version before."


def _as_now(table: pa.Table) -> pa.Table:
    """Rows of an earlier release with the fields that boxes have got since, null."""
    wanted = pa.schema([STORED_SCHEMA.field(name) for name in table.column_names])
    return table if table.schema.equals(wanted) else table.cast(wanted)
