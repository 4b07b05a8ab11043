"""The tables of what was mined, side by side: a row group of checks is about the proposals of the same row group.

So both can be read together, some images at a time, in memory that does not grow with the pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.records import CHECK_SCHEMA, PROPOSAL_SCHEMA

SCHEMAS = {"proposals": PROPOSAL_SCHEMA, "checks": CHECK_SCHEMA}
AGAIN = "Run `crosscheck cycle --discard`, which drops the cycle, and start it again."
"""What to do about tables that do not belong together."""
GROUP_ROWS = 16_384
"""Parts are joined to a row group until it has so many proposals: enough that a large pool has few groups, and so few
that the next night finds those of some images without reading many others."""

Pair = tuple[pa.Table, pa.Table]
"""Proposals, and the checks of these proposals."""


def write_mined(folder: Folder, prefix: str, parts: Iterable[Pair], schema: pa.Schema = PROPOSAL_SCHEMA) -> None:
    """Write both tables.

    Args:
        folder: Gets them.
        prefix: Before their names.
        parts: What was mined, in order.
        schema: Columns of proposals.
    """
    names = [f"{prefix}{table}.parquet" for table in SCHEMAS]
    with (
        folder.create_table(names[0], schema) as add_proposals,
        folder.create_table(names[1], CHECK_SCHEMA) as add_checks,
    ):
        for proposals, checks in _joined(parts):
            add_proposals(proposals)
            add_checks(checks)


def read_mined(folder: Folder, check_columns: list[str] | None = None) -> Iterator[Pair]:
    """Read both tables of the pool side by side.

    Args:
        folder: Holds them.
        check_columns: Columns of checks; all by default.

    Yields:
        Proposals of some images each, in order, and their checks.

    Raises:
        ArtefactError: A table is missing or damaged, or they were not written side by side.
    """
    columns = (None, check_columns)
    tables = (folder.read_groups(f"{name}.parquet", wanted) for name, wanted in zip(SCHEMAS, columns, strict=True))
    try:
        yield from zip(*tables, strict=True)
    except ValueError as fault:
        raise ArtefactError(
            f"{folder.uri}: expected as many row groups in proposals.parquet as in checks.parquet, got more in one: "
            f"another program rewrote it. {AGAIN}"
        ) from fault


def _joined(parts: Iterable[Pair]) -> Iterator[Pair]:
    """Parts of at least so many proposals."""
    waiting: list[Pair] = []
    rows = 0
    for part in parts:
        waiting.append(part)
        rows += len(part[0])
        if rows >= GROUP_ROWS:
            yield _concatenated(waiting)
            waiting, rows = [], 0
    if waiting:
        yield _concatenated(waiting)


def _concatenated(pairs: Sequence[Pair]) -> Pair:
    proposals, checks = (pa.concat_tables(tables) for tables in zip(*pairs, strict=True))
    return proposals, checks
