"""Dataset versions: where each comes from, what it holds, and which of them still stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Required, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records import SAMPLE_SCHEMA, State

_TOGETHER = 65_536
"""Rows whose boxes are laid out at once."""

Counts = dict[str, dict[str, int]]
"""`images` by state, `splits`, `boxes` by source and `labels`; the last two leave quarantined images out."""


class CommitMetadata(TypedDict, total=False):
    """What a version says of itself in the table's log; see `Version` for the keys."""

    reason: Required[str]
    key: str
    cycle: int | None
    model_id: str
    settings_digest: str
    details: Mapping[str, object]
    restored: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Version:
    """One commit of the sample table.

    Attributes:
        number: 0, 1, 2, ...
        parent: The version it was made from, the one before it; None for the first.
        timestamp: When it was committed, UTC.
        reason: Why, in words for a person.
        key: What made it; committing with the same key again changes nothing.
        cycle: Cycle that made it; None outside a cycle.
        model_id: Model whose boxes it brought; empty for none.
        settings_digest: Settings it was made with; empty for none.
        counts: What it holds.
        details: Whatever else its maker wanted to be kept, JSON.
        restored: The version whose rows it brought back; None for ordinary commits.
        code_version: Release and commit of the code that made it; empty where an earlier release did.
    """

    number: int
    parent: int | None
    timestamp: datetime
    reason: str
    key: str = ""
    cycle: int | None = None
    model_id: str = ""
    settings_digest: str = ""
    counts: Counts = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    restored: int | None = None
    code_version: str = ""

    @property
    def foreign(self) -> bool:
        """Another program made it, and nobody knows which rows it changed."""
        return not self.key and self.restored is None

    @property
    def why(self) -> str:
        """The reason; for a restore with the version whose rows are back."""
        return self.reason if self.restored is None else f"{self.reason} (rows of version {self.restored})"

    def count(self, group: str, name: str | None = None) -> int:
        """Number of things of one name in a group of `counts`, or of all of them; 0 where not counted."""
        counts = self.counts.get(group, {})
        return sum(counts.values()) if name is None else counts.get(name, 0)


def count_rows(table: pa.Table) -> Counts:
    """Count what a version holds.

    Args:
        table: Rows with `SAMPLE_SCHEMA`.

    Returns:
        `{"images": {state: n}, "splits": {split: n}, "boxes": {source: n}, "labels": {label: n}}`, names ascending,
        zero counts left out. Boxes of quarantined images are not counted, nobody may use them.
    """
    found: dict[str, Counter[str]] = {group: Counter() for group in ("images", "splits", "boxes", "labels")}
    for start in range(0, len(table), _TOGETHER):
        for group, values in _counted(table.slice(start, _TOGETHER)).items():
            found[group].update(_tally(values))
    return {group: dict(sorted(tally.items())) for group, tally in found.items()}


def _counted(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    boxes = pc.list_flatten(rows.filter(pc.field("state") != str(State.QUARANTINED))["boxes"])
    names = {"boxes": "source", "labels": "label"}
    own = {group: pc.struct_field(boxes, name) for group, name in names.items()}
    return {"images": rows["state"], "splits": rows["split"], **own}


def counts_after(counts: Counts, gone: pa.Table, new: pa.Table) -> Counts:
    """What a version holds, worked out from the one before and the rows that changed.

    Args:
        counts: Of the version before.
        gone: Rows that are replaced.
        new: Rows that replace them, or are added.
    """
    minus, plus = count_rows(gone), count_rows(new)
    found: Counts = {}
    for group, added in plus.items():
        names = sorted({*counts.get(group, {}), *added})
        numbers = {
            name: counts.get(group, {}).get(name, 0) - minus[group].get(name, 0) + added.get(name, 0) for name in names
        }
        found[group] = {name: number for name, number in numbers.items() if number}
    return found


class Counting:
    """Counts what a version will hold while its rows are on their way.

    Args:
        counts: What the version before holds.
        replaced_by: The rows of the version before that some rows replace; none by default.

    Attributes:
        counts: With all rows that have passed.
    """

    def __init__(self, counts: Counts | None = None, replaced_by: Callable[[pa.Table], pa.Table] | None = None) -> None:
        self.counts = count_rows(SAMPLE_SCHEMA.empty_table()) if counts is None else counts
        self._replaced_by = replaced_by or (lambda rows: rows.slice(0, 0))

    def count(self, rows: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Let rows pass and count them."""
        for piece in rows:
            self.counts = counts_after(self.counts, self._replaced_by(piece), piece)
            yield piece


def common_version(versions: Sequence[Version], one: int, other: int) -> int | None:
    """The newest version from which two others were made by known changes.

    Args:
        versions: All versions, oldest first.
        one: A version.
        other: Another one, or the same.

    Returns:
        Its number; None where there is none, or another program made a version in between.
    """
    lines = [{each.number for each in standing_versions(versions[: number + 1])} for number in (one, other)]
    common = max(lines[0] & lines[1], default=None)
    if common is None:
        return None
    between = {number for line in lines for number in line if number > common}
    return None if any(versions[number].foreign for number in between) else common


def standing_versions(versions: Sequence[Version]) -> list[Version]:
    """Versions whose changes are part of the latest one: all but those that a later restore undid.

    Args:
        versions: All versions, oldest first, numbered 0, 1, 2, ...

    Returns:
        The standing ones, newest first; empty for no versions.
    """
    standing = []
    number = len(versions) - 1
    while number >= 0:
        version = versions[number]
        standing.append(version)
        number = number - 1 if version.restored is None else version.restored
    return standing


def _tally(values: pa.ChunkedArray) -> dict[str, int]:
    return {row["values"]: row["counts"] for row in pc.value_counts(values).to_pylist()}
