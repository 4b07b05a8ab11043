"""What every row of the sample table keeps, checked before it is committed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records import SAMPLE_SCHEMA

_ROUNDING_PX = 0.01
"""float32 cannot hold every number of pixels."""
_TOGETHER = 65_536
"""Rows that are laid out anew at once."""


def valid_pieces(rows: pa.Table | Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Refuse rows that nobody could use, a piece of them at a time.

    Args:
        rows: Rows for the sample table, or pieces of them, where no image of a later piece comes before one of an
            earlier piece.

    Yields:
        The pieces with exactly `SAMPLE_SCHEMA`, sorted by `image_id`.

    Raises:
        ValueError: A piece is not valid, see `require_valid`, or comes too late.
    """
    last = ""
    for table in [rows] if isinstance(rows, pa.Table) else rows:
        piece = _in_order(require_valid(table))
        if len(piece):
            first, before, last = piece["image_id"][0].as_py(), last, piece["image_id"][-1].as_py()
            if first <= before:
                raise ValueError(f"Expected pieces in the order of image_id, got {first} after {before}")
            yield piece


def _in_order(rows: pa.Table) -> pa.Table:
    ids = rows["image_id"].combine_chunks()
    # A first import may be most of the memory: what is in order is not copied.
    return rows if pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py() else rows.sort_by("image_id")


def require_valid(table: pa.Table) -> pa.Table:
    """Refuse rows that nobody could use.

    Args:
        table: Rows for the sample table.

    Returns:
        The rows with exactly `SAMPLE_SCHEMA`.

    Raises:
        ValueError: A column is missing or of another type, an `image_id` is missing or there twice, or a box does
            not lie inside its image; the message names the image.
    """
    missing = set(SAMPLE_SCHEMA.names) - set(table.column_names)
    if missing:
        raise ValueError(f"Expected the columns of the sample table, {', '.join(sorted(missing))} are missing")
    rows = table.select(SAMPLE_SCHEMA.names).cast(SAMPLE_SCHEMA)
    _require_unique_ids(rows["image_id"])
    for start in range(0, len(rows), _TOGETHER):
        for part in ("boxes", "ignore"):
            _require_inside(rows.slice(start, _TOGETHER), part)
    return rows


def _require_unique_ids(image_ids: pa.ChunkedArray) -> None:
    counts = pa.table({"image_id": image_ids}).group_by("image_id").aggregate([([], "count_all")])
    wrong = counts.filter((pc.field("count_all") > 1) | pc.field("image_id").is_null())
    if wrong.num_rows:
        row = wrong.slice(0, 1).to_pylist()[0]
        raise ValueError(f"Expected every image_id once, got {row['image_id']} {row['count_all']} times")


def _require_inside(rows: pa.Table, part: str) -> None:
    column = rows[part].combine_chunks()
    parents, boxes = pc.list_parent_indices(column), pc.list_flatten(column)
    bad = pa.scalar(False)
    for low, high, side in (("x1", "x2", "width"), ("y1", "y2", "height")):
        first, last = pc.struct_field(boxes, low), pc.struct_field(boxes, high)
        limit = pc.add(pc.cast(pc.take(rows[side], parents), pa.float32()), _ROUNDING_PX)
        fine = pc.and_(pc.and_(pc.greater_equal(first, 0), pc.less(first, last)), pc.less_equal(last, limit))
        bad = pc.or_(bad, pc.invert(pc.fill_null(fine, False)))
    wrong = pc.indices_nonzero(bad)
    if len(wrong):
        place = wrong[0].as_py()
        row = rows.slice(parents[place].as_py(), 1).to_pylist()[0]
        raise ValueError(
            f"Expected {part} inside the image of {row['width']} x {row['height']} pixels, "
            f"got {boxes[place].as_py()} in image {row['image_id']} ({row['uri']})"
        )
