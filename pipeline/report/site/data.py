"""What the pages of cycles, of the lead and of the project show, as records for JSON."""

from __future__ import annotations

from dataclasses import fields

import pyarrow as pa

from pipeline.report.contents import CycleContents, IndexContents
from pipeline.report.outlook import outlook_line
from pipeline.report.story import headline, reviewed_line

_ELSEWHERE = {"turns", "versions", "changes"}
"""Of `CycleContents`: history, which `cycles.parquet`, `evaluation.parquet` and `versions.parquet` hold."""


def cycle_data(contents: CycleContents) -> dict[str, object]:
    """The cycle alone; its tables of proposals and pastes lie in its own folder, as Parquet."""
    values = {field.name: getattr(contents, field.name) for field in fields(contents) if field.name not in _ELSEWHERE}
    kept = {name: value for name, value in values.items() if not isinstance(value, pa.Table)}
    said = {"headline": headline(contents.turns), "outlook": outlook_line(contents.turns)}
    return {**said, **kept, "turn": contents.turn, "queue": contents.queue.to_pylist()}


def lead_data(contents: CycleContents) -> dict[str, object]:
    """How far people are and what waits for them."""
    return {
        "cycle": contents.opening.cycle,
        "images": contents.versions[-1].counts.get("images", {}) if contents.versions else {},
        "harvest": contents.harvest,
        "reviews": [(turn.cycle, turn.reviews) for turn in contents.turns],
        "queue": contents.queue.to_pylist(),
    }


def index_data(contents: IndexContents) -> dict[str, object]:
    """The project as it stands; its history is in `cycles.parquet`, `evaluation.parquet` and `versions.parquet`."""
    return {
        "name": contents.name,
        "headline": headline(contents.turns) if contents.turns else "",
        "outlook": outlook_line(contents.turns),
        "reviewed": reviewed_line(contents.turns),
        "version": contents.versions[-1] if contents.versions else None,
        "class_sources": contents.class_sources,
        "changes": contents.changes,
    }
