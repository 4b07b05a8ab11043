"""Rows of one version, in order, a group at a time: of each image the newest row among the version's files."""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.parquet as pq

from pipeline.errors import ArtefactError, RowsGoneError
from pipeline.records import SAMPLE_SCHEMA, Split, State

CHANGED_IN = "changed_in"
"""Column of the files: the version that wrote the row; null in files of earlier releases, where each image is once."""

STORED_SCHEMA = SAMPLE_SCHEMA.append(pa.field(CHANGED_IN, pa.int32()))
"""What the files hold."""

_GROUPS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows and columns of a version are read.

    Attributes:
        columns: Names of columns, in this order.
        images: Filter by `image_id`, by which parts of files are left out; all images for None.
        rows: Filter by `state` and `split`, of the newest row of an image; all rows for None.
        box_fields: The only fields of `boxes` that are read, which is most of the time saved; all for none.
    """

    columns: Sequence[str]
    images: pc.Expression | None = None
    rows: pc.Expression | None = None
    box_fields: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """What is read."""
        return pa.schema([self._field(name) for name in self.columns])

    def with_columns(self, *names: str) -> Wanted:
        """The same with more columns."""
        return replace(self, columns=list(dict.fromkeys([*self.columns, *names])))

    def needs(self, column: str, field: str) -> bool:
        """Tell whether a column, or a field of its lists, is read."""
        return column in self.columns and (column != "boxes" or not self.box_fields or field in self.box_fields)

    def _field(self, name: str) -> pa.Field:
        field = STORED_SCHEMA.field(name)
        if name != "boxes" or not self.box_fields:
            return field
        kinds = [kind for kind in field.type.value_type if kind.name in self.box_fields]
        return pa.field(name, pa.list_(pa.struct(kinds)))


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


def pieces(dataset: pds.Dataset, wanted: Wanted, name: str, newer: pds.Dataset | None = None) -> Iterator[pa.Table]:
    """Read the newest row of each image, in memory that does not grow with the table.

    Every file is in the order of `image_id`. All are read side by side, a group of rows at a time (a scan of a whole
    file would keep all that it read ahead), up to the least id at which a group ends.

    Args:
        dataset: The files of one version.
        wanted: What to read.
        name: The version, for error messages.
        newer: Files of rows that are part of no version yet.

    Yields:
        Tables with the wanted columns in the order of `image_id`; they may be empty.

    Raises:
        ArtefactError: A file is not in order, or two of them hold rows of an image and none says which is newer.
        RowsGoneError: A file is gone.
    """
    needed = wanted.with_columns("image_id", CHANGED_IN, *([] if wanted.rows is None else ["state", "split"]))
    try:
        groups = [_groups(file, own, needed) for own in (dataset, newer) if own for file in own.get_fragments()]
        files = [_File(own, name) for own in groups]
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


def _groups(file: pds.Fragment, dataset: pds.Dataset, wanted: Wanted) -> Iterator[pa.Table]:
    """Groups of a file's rows, as this release has them."""
    # Other programs may write texts of a type that no filter of ours compares with.
    ours = file.physical_schema.field("image_id").type == pa.string()
    images = wanted.images if ours else None
    groups = file.split_by_row_group(images, schema=dataset.schema)
    if ours and not wanted.box_fields:
        there = [name for name in wanted.columns if name in dataset.schema.names]
        for group in groups:
            yield _as_now(group.to_table(dataset.schema, there, images, use_threads=False), wanted)
        return
    for rows in _leaves(file, groups, wanted):
        now = _as_now(rows, wanted)
        yield now if wanted.images is None else now.filter(wanted.images)


def _leaves(file: pds.Fragment, groups: Sequence[pds.Fragment], wanted: Wanted) -> Iterator[pa.Table]:
    """Rows with no more fields than are wanted, several groups at once: a filter costs more than they do."""
    numbers = [part.id for group in groups for part in group.row_groups]
    with file.filesystem.open_input_file(file.path) as opened:
        source = pq.ParquetFile(opened)
        # What stands between the column and the field differs by program.
        paths = [source.schema.column(place).path for place in range(len(source.schema.names))]
        leaves = [path for path in paths if wanted.needs(path.split(".")[0], path.rsplit(".", 1)[-1])]
        for start in range(0, len(numbers), _GROUPS_AT_ONCE):
            yield source.read_row_groups(numbers[start : start + _GROUPS_AT_ONCE], leaves, use_threads=False)


def _as_now(rows: pa.Table, wanted: Wanted) -> pa.Table:
    """Rows with the columns and fields that earlier releases did not have, null."""
    if CHANGED_IN in wanted.columns and CHANGED_IN not in rows.column_names:
        rows = rows.append_column(CHANGED_IN, pa.nulls(len(rows), pa.int32()))
    ordered = rows.select(wanted.columns)
    return ordered if ordered.schema.equals(wanted.schema) else ordered.cast(wanted.schema)


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
