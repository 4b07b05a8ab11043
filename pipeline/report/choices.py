"""Which images and proposals the galleries show: those where a decision was closest, so that faults are seen first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records import Fate, TaskKind

Rows = list[dict[str, Any]]


def first_asked(queue: pa.Table, limit: int) -> tuple[Rows, int]:
    """The images that people are asked about first, with boxes drawn.

    Args:
        queue: `QUEUE_SCHEMA`.
        limit: Most rows.

    Returns:
        Rows by rank, and how many there are in all. Audits and blind tasks, which show no boxes, are left out.
    """
    asked = queue.filter(pc.equal(queue["kind"], str(TaskKind.ASK)))
    return asked.sort_by("rank").slice(0, limit).to_pylist(), asked.num_rows


def least_sure_pseudo(selection: pa.Table, limit: int) -> tuple[Rows, int]:
    """Pseudo-labeled images, those with the least sure box first.

    Args:
        selection: `SELECTION_SCHEMA`.
        limit: Most rows.

    Returns:
        Rows `image_id, boxes, p_correct` (of the least sure box), and how many images there are in all.
    """
    return _by_image(selection, Fate.PSEUDO, "min", "ascending", limit)


def most_likely_dropped(selection: pa.Table, limit: int) -> tuple[Rows, int]:
    """Images with dropped boxes, those with the box that was likeliest right first.

    Args:
        selection: `SELECTION_SCHEMA`.
        limit: Most rows.

    Returns:
        Rows `image_id, boxes, p_correct` (of the likeliest box), and how many images there are in all.
    """
    return _by_image(selection, Fate.DROP, "max", "descending", limit)


def disputed(selection: pa.Table, checks: pa.Table, limit: int) -> tuple[Rows, int]:
    """Proposals where the re-detections contradict the detector most, in both directions.

    Args:
        selection: `SELECTION_SCHEMA`.
        checks: `CHECK_SCHEMA`.
        limit: Most rows.

    Returns:
        Rows of `selection`: those that were sure and not found again, then those that were unsure and found again;
        and how many proposals were checked in all.
    """
    checked = selection.filter(pc.is_in(selection["proposal_id"], pc.unique(checks["proposal_id"])))
    doubt = pc.fill_null(pc.subtract(checked["score"], checked["consistency"]), 0.0)
    ranked = checked.append_column("doubt", doubt).sort_by([("doubt", "descending"), ("proposal_id", "ascending")])
    refuted = ranked.filter(pc.greater_equal(ranked["doubt"], 0.0)).slice(0, (limit + 1) // 2)
    confirmed = ranked.filter(pc.less(ranked["doubt"], 0.0))
    shyest = confirmed.slice(max(confirmed.num_rows - limit // 2, 0)).to_pylist()
    return [*refuted.to_pylist(), *reversed(shyest)], checked.num_rows


def rows_by(table: pa.Table, key: str, wanted: Iterable[str]) -> dict[str, Rows]:
    """Rows of a table under the values of one column, for a few wanted values.

    Args:
        table: Any table.
        key: A text column.
        wanted: Values to keep.

    Returns:
        Rows in the table's order; an empty list for a value that has none.
    """
    kept = table.filter(pc.is_in(table[key], pa.array(sorted(set(wanted)), pa.string())))
    found: dict[str, Rows] = defaultdict(list)
    for row in kept.to_pylist():
        found[row[key]].append(row)
    return found


def _by_image(selection: pa.Table, fate: Fate, extreme: str, order: str, limit: int) -> tuple[Rows, int]:
    kept = selection.filter(pc.equal(selection["fate"], str(fate)))
    sure = kept.select(["image_id"]).append_column("p_correct", pc.fill_null(kept["p_correct"], 0.0))
    found = sure.group_by("image_id").aggregate([("p_correct", extreme), ("p_correct", "count")])
    named = found.rename_columns({f"p_correct_{extreme}": "p_correct", "p_correct_count": "boxes"})
    ranked = named.sort_by([("p_correct", order), ("image_id", "ascending")])
    return ranked.slice(0, limit).to_pylist(), ranked.num_rows
