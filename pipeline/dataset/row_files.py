"""Writing rows into a file of the sample table, a group at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.delta import RowFile
from pipeline.dataset.reading import CHANGED_IN, STORED_SCHEMA, rebatched
from pipeline.workspace import Folder

_ROWS_A_GROUP = 4096
_FORMAT: dict[str, Any] = {
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
    name, count, ends = f"part-{uuid4()}.parquet", 0, ("", "")
    with folder.create(name) as file, pq.ParquetWriter(file, STORED_SCHEMA, **_FORMAT) as writer:
        for group in rebatched(tables, _ROWS_A_GROUP):
            writer.write_batch(group)
            first, last = (group["image_id"][place].as_py() for place in (0, -1))
            count, ends = count + group.num_rows, (ends[0] or first, last)
    return RowFile(name, folder.size(name), count, *ends)
