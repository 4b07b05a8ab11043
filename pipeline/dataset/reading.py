"""Rows of one version, in order, a group at a time."""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds

from pipeline.errors import ArtefactError, RowsGoneError
from pipeline.records import SAMPLE_SCHEMA, Split, State


def condition(states: Collection[State] | None, splits: Collection[Split] | None) -> pc.Expression | None:
    """Say which rows are wanted.

    Args:
        states: Only images in these states; all for None.
        splits: Only images of these splits; all for None.

    Returns:
        A filter that is pushed down to the file; None for all rows.
    """
    parts = [
        pc.field(name).isin(pa.array([str(value) for value in values], pa.string()))
        for name, values in (("state", states), ("split", splits))
        if values is not None
    ]
    return functools.reduce(operator.and_, parts) if parts else None


def pieces(dataset: pds.Dataset, columns: Sequence[str], rows: pc.Expression | None, name: str) -> Iterator[pa.Table]:
    """Read a group of rows at a time; a scan of the whole file would keep all that it read ahead.

    Args:
        dataset: The files of one version.
        columns: Names of the columns to read.
        rows: Which rows; all for None.
        name: The version, for error messages.

    Yields:
        Tables with these columns in the order of `image_id`; they may be empty.

    Raises:
        ArtefactError: The rows are not in order.
        RowsGoneError: A file is gone.
    """
    names = list(dict.fromkeys(["image_id", *columns]))
    last = pa.scalar("")
    try:
        for file in dataset.get_fragments(rows):
            for group in file.split_by_row_group(rows, schema=dataset.schema):
                piece = group.to_table(dataset.schema, names, rows, use_threads=False)
                ids = pa.concat_arrays([pa.array([last]), *piece["image_id"].chunks])
                if not pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py():
                    raise ArtefactError(
                        f"{name}: expected rows in the order of image_id, another program rewrote them. "
                        "Restore the version before."
                    )
                last = ids[-1]
                yield _as_now(piece.select(columns))
    except FileNotFoundError as fault:
        raise RowsGoneError(f"{name}: its file is gone (vacuumed or deleted). Name another version.") from fault


def _as_now(table: pa.Table) -> pa.Table:
    """Rows of an earlier release with the fields that boxes have got since, null."""
    wanted = pa.schema([SAMPLE_SCHEMA.field(name) for name in table.column_names])
    return table if table.schema.equals(wanted) else table.cast(wanted)


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
