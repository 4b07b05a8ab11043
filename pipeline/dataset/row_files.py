"""Writing rows into a file of the sample table, a group at a time."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.delta import Range, RowFile
from pipeline.dataset.reading import CHANGED_IN, STORED_SCHEMA, rebatched
from pipeline.folder import Folder

_ROWS_A_GROUP = 4096
_RANGED = [field.name for field in STORED_SCHEMA if not pa.types.is_list(field.type)]
_FORMAT: dict[str, object] = {
    "compression": "zstd",
    "write_page_checksum": True,
    # Statistics of columns that nobody searches by would be most of a small file.
    "write_statistics": ["image_id", CHANGED_IN],
}


def write_rows(folder: Folder, tables: Iterable[pa.Table]) -> RowFile:
    """Write a file beside the table; it is part of no version before a commit names it.

    Args:
        folder: Of the table.
        tables: Rows with `STORED_SCHEMA`, in the order of `image_id`.
    """
    name, count, ranges = f"part-{uuid4()}.parquet", 0, dict.fromkeys(_RANGED, Range())
    with folder.create(name) as file, pq.ParquetWriter(file, STORED_SCHEMA, **_FORMAT) as writer:
        for group in rebatched(tables, _ROWS_A_GROUP):
            writer.write_batch(group)
            count += group.num_rows
            ranges = {column: _wider(known, group[column]) for column, known in ranges.items()}
    return RowFile(name, folder.size(name), count, ranges)


def _wider(known: Range, values: pa.Array) -> Range:
    found = pc.min_max(values).as_py()
    lows = [low for low in (known.low, found["min"]) if low is not None]
    highs = [high for high in (known.high, found["max"]) if high is not None]
    return Range(min(lows, default=None), max(highs, default=None), known.nulls + values.null_count)
