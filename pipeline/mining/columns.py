"""Tensors laid out as the columns of stored tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

CORNERS = ("x1", "y1", "x2", "y2")


def corner_columns(boxes: Tensor, prefix: str = "") -> dict[str, NDArray[np.float32]]:
    """Columns `x1` to `y2` of boxes.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        prefix: Put before each name.
    """
    return {f"{prefix}{name}": boxes[:, i].float().numpy() for i, name in enumerate(CORNERS)}


def table_of(columns: Mapping[str, object], schema: pa.Schema, count: int) -> pa.Table:
    """A table in the order of a schema.

    Args:
        columns: By name, N values each; NaN becomes null, and None is a column of nulls.
        schema: Names and types.
        count: N.
    """
    arrays = [
        pa.nulls(count, field.type)
        if columns[field.name] is None
        else pa.array(columns[field.name], from_pandas=True).cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def fill_in(table: pa.Table, rows: NDArray[np.bool_], columns: Mapping[str, Tensor]) -> pa.Table:
    """Write numbers into some rows of a table.

    Args:
        table: Has these columns, of float32.
        rows: bool[N].
        columns: By name, a number for each of these rows.

    Returns:
        The table with these columns changed.
    """
    for name, values in columns.items():
        column = table[name].to_numpy(zero_copy_only=False).astype(np.float32)
        column[rows] = values.numpy()
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array(column, from_pandas=True))
    return table
