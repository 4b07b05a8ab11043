"""A parquet file row group by row group, without those that cannot hold what is looked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import NativeFile

from pipeline.records import among


def row_groups(
    file: NativeFile, columns: list[str] | None = None, rows: tuple[str, Iterable[str]] | None = None
) -> Iterator[pa.Table]:
    """Read an open parquet file part by part.

    Args:
        file: The file.
        columns: Columns to read; all by default.
        rows: A column of texts, and texts of which every row has one; all rows by default.

    Yields:
        The rows of each row group, in order.
    """
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    if rows is None:
        yield from (parquet.read_row_group(number, columns) for number in range(parquet.num_row_groups))
        return
    column, wanted = rows[0], sorted(rows[1])
    for number in _groups_with(column, wanted, parquet):
        yield parquet.read_row_group(number, columns).filter(among(column, wanted))


def _groups_with(column: str, wanted: Sequence[str], parquet: pq.ParquetFile) -> Iterator[int]:
    """Row groups between whose least and greatest text lies one of these, in order; and those without such bounds."""
    at = parquet.schema.names.index(column)
    for number in range(parquet.num_row_groups):
        bounds = parquet.metadata.row_group(number).column(at).statistics
        known = bounds is not None and bounds.has_min_max
        if not known or bisect_left(wanted, bounds.min) < bisect_right(wanted, bounds.max):
            yield number
