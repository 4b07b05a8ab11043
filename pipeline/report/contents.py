"""What a page needs, filled by the caller: records and tables, no paths to discover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from pipeline.records import CHECK_SCHEMA, QUEUE_SCHEMA, SAMPLE_SCHEMA, SELECTION_SCHEMA, ImportIssue
from pipeline.report.artefacts import Harvest, MiningCost, Opening, Push, Selected, Version
from pipeline.report.measures import AuditCount, Calibration, Certificates, Gate, Metrics, Training
from pipeline.selection.withdrawal import Standing


@dataclass(frozen=True, slots=True)
class Turn:
    """One cycle as a row of the history.

    Attributes:
        cycle: Its number.
        opened_at: When it began, in UTC.
        gate: How its model did; None where none was trained.
        labeled_images: Training images labelled by people that its model could learn from.
        labeled_boxes: Boxes on them.
        asked_images: Images that this cycle asked people about.
        asked_boxes: Machine boxes shown on those images.
        answered_images: Images whose answers this cycle harvested.
        answered_boxes: Boxes in those answers.
        hours: Time that people spent on those answers; None where unknown.
        pseudo_images: Images that this cycle pseudo-labelled.
        pseudo_boxes: Certified boxes on them.
        soft_boxes: Boxes on them that are learnt from softly, without a promise.
        certified: Classes with a certificate.
        classes: Classes in all.
    """

    cycle: int
    opened_at: datetime
    gate: Gate | None = None
    labeled_images: int = 0
    labeled_boxes: int = 0
    asked_images: int = 0
    asked_boxes: int = 0
    answered_images: int = 0
    answered_boxes: int = 0
    hours: float | None = None
    pseudo_images: int = 0
    pseudo_boxes: int = 0
    soft_boxes: int = 0
    certified: int = 0
    classes: int = 0

    def metrics(self, split: str) -> Metrics | None:
        """How the cycle's candidate did on `val` or `test`; None where not measured or without true boxes there."""
        if self.gate is None:
            return None
        found = {"val": self.gate.val, "test": self.gate.test}[split]
        return found if found and found.boxes else None

    @property
    def reported_split(self) -> str:
        """The split to quote: `test` where it was measured, else `val`."""
        return "val" if self.metrics("test") is None else "test"


def measured(turns: Sequence[Turn], split: str) -> list[tuple[Turn, Metrics]]:
    """The turns whose candidate was measured on a split, each with its metrics, in the given order."""
    return [(turn, metrics) for turn in turns if (metrics := turn.metrics(split))]


def page_name(cycle: int) -> str:
    """File name of a cycle's page, the target of relative links."""
    return f"cycle-{cycle:04d}.html"


@dataclass(frozen=True, slots=True)
class CycleContents:
    """Everything on the page of one cycle. What a cycle has not made is None or empty, and the page says so.

    Attributes:
        opening: How the cycle began.
        turns: Every cycle up to this one, ascending; the last is this one.
        versions: Dataset versions up to the last of this cycle, ascending.
        class_sources: Boxes of the last version by label and source, see `data_tables.count_boxes`.
        harvest: What people answered.
        training: The fine-tuning run.
        calibration: Every score on held-back boxes.
        certificates: The promise for each class.
        standings: Whether a class was withdrawn after its audits, by label.
        selected: How many boxes met which fate.
        blind_audit: Pseudo-labels of all cycles that people found, by label, when asked without seeing them.
        audit: Pseudo-labels against hidden truth by label; None outside a simulation.
        push: What was sent to people.
        issues: Everything found wrong with files.
        stage_seconds: Time by stage, in the order the stages ran.
        mining: What cross-image validation cost.
        samples: Rows with at least the columns `image_id, uri, width, height, ignore` of `SAMPLE_SCHEMA`, for the
            images of the other tables; an image whose row is missing gets a tile that says so.
        selection: `SELECTION_SCHEMA`, a row a proposal.
        queue: `QUEUE_SCHEMA`, a row an image asked about.
        checks: `CHECK_SCHEMA`, a row a paste.
        settings_yaml: The resolved settings.
        commands: Shell lines that repeat this cycle.
    """

    opening: Opening
    turns: tuple[Turn, ...]
    versions: tuple[Version, ...] = ()
    class_sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    harvest: Harvest | None = None
    training: Training | None = None
    calibration: Calibration | None = None
    certificates: Certificates | None = None
    standings: Mapping[str, Standing] = field(default_factory=dict)
    selected: Selected | None = None
    blind_audit: Mapping[str, AuditCount] = field(default_factory=dict)
    audit: Mapping[str, AuditCount] | None = None
    push: Push | None = None
    issues: tuple[ImportIssue, ...] = ()
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    mining: MiningCost | None = None
    samples: pa.Table = field(default_factory=SAMPLE_SCHEMA.empty_table)
    selection: pa.Table = field(default_factory=SELECTION_SCHEMA.empty_table)
    queue: pa.Table = field(default_factory=QUEUE_SCHEMA.empty_table)
    checks: pa.Table = field(default_factory=CHECK_SCHEMA.empty_table)
    settings_yaml: str = ""
    commands: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Hold the history to what it promises.

        Raises:
            ValueError: `turns` is not ascending or does not end with this cycle.
        """
        cycles = [turn.cycle for turn in self.turns]
        if cycles != sorted(set(cycles)) or cycles[-1:] != [self.opening.cycle]:
            raise ValueError(f"Expected ascending turns that end with cycle {self.opening.cycle}, got {cycles}")

    @property
    def turn(self) -> Turn:
        """This cycle's row of the history."""
        return self.turns[-1]


@dataclass(frozen=True, slots=True)
class IndexContents:
    """Everything on the page of a project.

    Attributes:
        name: Name of the project.
        turns: Every cycle, ascending; may be empty.
        versions: Every dataset version, ascending; the last is the state now.
        class_sources: Boxes of the last version by label and source.
        pages: Cycles that have a page to link to.
    """

    name: str
    turns: tuple[Turn, ...] = ()
    versions: tuple[Version, ...] = ()
    class_sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    pages: frozenset[int] = frozenset()
