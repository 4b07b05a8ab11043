"""Boxes of each class by split and source, counted once per version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cycle import Cycle
from pipeline.errors import RowsGoneError
from pipeline.records import State

BoxCounts = Mapping[str, Mapping[str, int]]
"""Boxes of one class: by split, then source."""


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Boxes of one version on images that are not in quarantine, by class; kept beside the versions' differences."""

    MADE_BY: ClassVar[str] = "crosscheck report"

    classes: Mapping[str, BoxCounts] = field(default_factory=dict)


def counts_of(cycle: Cycle, version: int) -> ClassCounts | None:
    """Counts of a version, worked out once, since versions never change; None where its rows are gone."""
    kept, name = cycle.workspace.folder("diffs"), f"{version:06d}-classes.json"
    if not kept.exists(name):
        usable = [state for state in State if state is not State.QUARANTINED]
        try:
            rows = cycle.store.table(version, ["split", "boxes"], usable, box_fields=("label", "source"))
        except RowsGoneError:
            return None
        kept.write_record(name, ClassCounts(count_classes(rows)))
    return kept.read_record(name, ClassCounts)


def count_classes(rows: pa.Table) -> dict[str, dict[str, dict[str, int]]]:
    """Count boxes by class, split and source, names ascending.

    Args:
        rows: At least the columns `split` and `boxes` of `SAMPLE_SCHEMA`.
    """
    nested = rows["boxes"].combine_chunks()
    boxes = pc.list_flatten(nested)
    table = pa.table(
        {
            "label": pc.struct_field(boxes, "label"),
            "split": rows["split"].take(pc.list_parent_indices(nested)),
            "source": pc.struct_field(boxes, "source"),
        }
    )
    keys = ["label", "split", "source"]
    found: dict[str, dict[str, dict[str, int]]] = {}
    for row in (
        table.group_by(keys).aggregate([([], "count_all")]).sort_by([(key, "ascending") for key in keys]).to_pylist()
    ):
        found.setdefault(row["label"], {}).setdefault(row["split"], {})[row["source"]] = row["count_all"]
    return found
