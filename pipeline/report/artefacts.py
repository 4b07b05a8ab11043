"""What the stages of a cycle did, as records: one class a JSON file, fields named as its keys; see also `measures`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import ArtefactError
from pipeline.report.measures import Acceptance

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opening:
    """`cycle.json`: how a cycle began.

    Attributes:
        cycle: Its number, from 0.
        opened_at: When, in UTC.
        settings_digest: Hash of the settings it runs with.
        seed: Drives every random choice.
        name: Name of the project.
    """

    cycle: int
    opened_at: datetime
    settings_digest: str
    seed: int
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """What one version changed against its parent.

    Attributes:
        images: Images by transition of their state, `"pool->queued": n`.
        added: Boxes added, by source.
        removed: Boxes removed, by source.
        added_labels: Boxes added, by label.
        removed_labels: Boxes removed, by label.
    """

    images: Mapping[str, int] = field(default_factory=dict)
    added: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    added_labels: Mapping[str, int] = field(default_factory=dict)
    removed_labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Version:
    """One dataset version.

    Attributes:
        number: Its number in the store.
        parent: The version it was made from; None for the first.
        timestamp: When it was committed, in UTC.
        reason: Why, in a few words.
        cycle: The cycle that made it; None outside a cycle.
        model_id: The model whose boxes it took in; None for none.
        counts: `{"images": {state: n}, "splits": {...}, "boxes": {source: n}, "labels": {label: n}}`.
        details: Whatever else the commit's metadata holds.
        change: Against the parent; None where it is not known.
    """

    number: int
    parent: int | None
    timestamp: datetime
    reason: str
    cycle: int | None = None
    model_id: str | None = None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    change: Change | None = None

    def count(self, group: str, name: str | None = None) -> int:
        """Number of things of one name in a group of `counts`, or of all of them; 0 where not counted."""
        counts = self.counts.get(group, {})
        return sum(counts.values()) if name is None else counts.get(name, 0)


@dataclass(frozen=True, slots=True)
class Saved:
    """Time that boxes of the machine saved people: median seconds a box without them, less with them, times boxes.

    Attributes:
        hours: Negative where correcting takes longer than drawing; None without enough timed answers.
        seconds_a_box: Median of `with_boxes` and of `without_boxes`.
        answers: Timed answers behind each median.
        missing: What would be needed for an estimate, in words; empty for nothing.
    """

    hours: float | None
    seconds_a_box: Mapping[str, float | None]
    answers: Mapping[str, int]
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Harvest:
    """`harvest.json`: what people answered since the cycle before.

    Attributes:
        answered: Images answered, empty ones included.
        skipped: Images that people declined.
        empty: Images answered "nothing here".
        boxes: Boxes in the answers, by source.
        hours: Time that people spent; None where unknown.
        annotators: Images answered, by person.
        notes: What was wrong with an answer: (image or task, problem).
        acceptance: How people treat the machine's boxes, in all answers so far; None where not counted.
        saved: What the machine's boxes saved of their time; None where not estimated.
        agreements: How far the last two people agree, 0 to 1, for each image that several answered.
        asked_again: Images that were opened for one person more.
    """

    answered: int
    skipped: int = 0
    empty: int = 0
    boxes: Mapping[str, int] = field(default_factory=dict)
    hours: float | None = None
    annotators: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    acceptance: Acceptance | None = None
    saved: Saved | None = None
    agreements: tuple[float, ...] = ()
    asked_again: int = 0


@dataclass(frozen=True, slots=True)
class Selected:
    """`select.json`: the version that took the pseudo-labels in and how many boxes met which fate.

    Soft boxes are asked about as well, and learnt from though nothing is promised of them.
    `incomplete_images` hold sure boxes and were left out, since too many of their objects may have been missed.
    """

    version: int
    pseudo_images: int
    pseudo_boxes: int
    queued: int
    dropped: int
    soft_boxes: int = 0
    incomplete_images: int = 0


@dataclass(frozen=True, slots=True)
class Push:
    """`push.json`: what became of questions.

    Attributes:
        created: New tasks.
        existing: Tasks that were there already.
        refused: Images that could not be pushed, with the reason.
        updated: Open tasks that got the boxes of the newest model.
        withdrawn: Tasks that left the queue, being worth less than what would be asked now.
        begun: Such tasks that stay, since somebody has begun an answer.
    """

    created: int
    existing: int
    refused: Mapping[str, str] = field(default_factory=dict)
    updated: int = 0
    withdrawn: int = 0
    begun: int = 0


@dataclass(frozen=True, slots=True)
class MiningCost:
    """What checks cost: proposals, images looked at again, boxes shown closer, pastes, and seconds by step."""

    proposals: int
    looks: int
    views: int
    pastes: int
    canvases: int
    passes: int
    seconds: Mapping[str, float] = field(default_factory=dict)


def read_artefact(kind: type[T], values: object, origin: str) -> T:
    """Make a record from decoded JSON; keys that the record does not have are left out.

    Args:
        kind: A class of this module or of `measures`, or a container of one such as `dict[str, AuditCount]`.
        values: The decoded JSON.
        origin: The file, named in the error.

    Returns:
        The record.

    Raises:
        ArtefactError: A key is missing or a value has the wrong type; the message names each.
    """
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    try:
        return adapter.validate_python(values)
    except ValidationError as fault:
        found = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in fault.errors())
        raise ArtefactError(f"{origin}: expected {kind}, got {found}. Run the stage that makes it again.") from fault
