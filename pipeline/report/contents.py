"""What a page shows: records and tables, no paths to discover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from pipeline.artefacts import (
    HELD_BACK,
    Audits,
    Calibration,
    Certificates,
    ClassStanding,
    CommitteeRun,
    CycleHarvest,
    GateOutcome,
    Metrics,
    MiningRun,
    Opening,
    PricedAnswers,
    PushRun,
    ReviewWork,
    SelectionRun,
    TrainingRun,
)
from pipeline.dataset.diff import ChangeCounts
from pipeline.dataset.store import MINED_STATES
from pipeline.dataset.versions import Version
from pipeline.records import (
    CHECK_SCHEMA,
    PROPOSAL_SCHEMA,
    QUEUE_SCHEMA,
    SAMPLE_SCHEMA,
    SELECTION_SCHEMA,
    ImportIssue,
)
from pipeline.settings import DetectorSettings, MiningSettings


@dataclass(frozen=True, slots=True)
class Turn:
    """One cycle as a row of the history.

    Attributes:
        cycle: Its number.
        opened_at: When it began, in UTC.
        gate: How its model did; None where none was trained.
        labeled_images: Images of train and val that people had labelled when its model was trained.
        labeled_boxes: Boxes on them; None where the rows of that version were removed.
        taught_images: Images labelled by people that its model learnt from.
        asked_images: Images that this cycle asked people about.
        asked_boxes: Machine boxes shown on those images.
        answered_images: Images whose answers this cycle harvested.
        answered_boxes: Boxes in those answers.
        hours: Time that people spent on those answers; None where unknown.
        reviews: What people found in labelled images that they looked at again.
        priced: What those answers take by the settings, with the machine's boxes and without.
        pseudo_images: Images that this cycle pseudo-labelled.
        pseudo_boxes: Certified boxes on them.
        soft_boxes: Boxes on them that are learnt from softly, without a promise.
        certified: Classes with a certificate.
        classes: Classes in all.
    """

    cycle: int
    opened_at: datetime
    gate: GateOutcome | None = None
    labeled_images: int = 0
    taught_images: int = 0
    labeled_boxes: int | None = 0
    asked_images: int = 0
    asked_boxes: int = 0
    answered_images: int = 0
    answered_boxes: int = 0
    hours: float | None = None
    reviews: ReviewWork = field(default_factory=ReviewWork)
    priced: PricedAnswers = field(default_factory=PricedAnswers)
    pseudo_images: int = 0
    pseudo_boxes: int = 0
    soft_boxes: int = 0
    certified: int = 0
    classes: int = 0

    def metrics(self, split: str) -> Metrics | None:
        """How the cycle's candidate did, see `GateOutcome.on`; None where not measured or without true boxes there."""
        return self.gate.on(split) if self.gate else None

    @property
    def hours_of_people(self) -> float | None:
        """Time that people spent on answers and reviews; None where unknown."""
        known = [hours for hours in (self.hours, self.reviews.hours) if hours is not None]
        return sum(known) if known else None

    @property
    def reported_split(self) -> str:
        """The split to quote: `test` where it was measured, else `checked_split`."""
        return checked_split([self]) if self.metrics("test") is None else "test"


def measured(turns: Sequence[Turn], split: str) -> list[tuple[Turn, Metrics]]:
    """The turns whose candidate was measured on a split, each with its metrics, in the given order."""
    return [(turn, metrics) for turn in turns if (metrics := turn.metrics(split))]


def checked_split(turns: Sequence[Turn]) -> str:
    """What the gate compares on: `val`, or what the committees held back where there is no val."""
    held_back = measured(turns, HELD_BACK) and not measured(turns, "val")
    return HELD_BACK if held_back else "val"


@dataclass(frozen=True, slots=True)
class CycleContents:
    """Everything on the page of one cycle. What a cycle has not made is None or empty, and the page says so.

    Attributes:
        opening: How the cycle began.
        turns: Every cycle up to this one, ascending; the last is this one.
        versions: Dataset versions up to the last of this cycle, ascending.
        changes: What each version changed against its parent, by number.
        class_sources: Boxes of the last version by label and source, see `data_tables.count_boxes`.
        harvest: What people answered.
        training: The fine-tuning run.
        committee: Detectors that each learnt without a part of the labelled images; None without cross-fitting.
        calibration: Every score on held-back boxes.
        certificates: The promise for each class.
        standings: Whether a class was withdrawn after its audits, by label.
        shown_from: People see the machine's boxes of a higher p(correct); None: none, as they would cost time.
        selected: How many boxes met which fate.
        blind_audit: Pseudo-labels of all cycles so far, by label, and how many of them people drew without seeing them.
        audit: Pseudo-labels against hidden truth by label; None outside a simulation.
        push: What was sent to people.
        asks_people: Whether there is anybody to send it to.
        issues: Everything found wrong with files.
        stage_seconds: Time by stage, in the order the stages ran.
        mining: What was mined and what it cost.
        mining_settings: Those that it was mined with.
        input_size_px: Longest side of the input of the detector that it was mined with.
        samples: At least the columns `image_id, uri, width, height, ignore` of `SAMPLE_SCHEMA`, for the images of the
            other tables; an image without a row gets a tile that says so.
        selection: `SELECTION_SCHEMA`, one row per proposal.
        proposals: Columns `proposal_id` and `x1` to `y2` of `PROPOSAL_SCHEMA`: where the detector put the boxes, which
            is what was pasted; those of `selection` are corrected for localisation bias.
        queue: `QUEUE_SCHEMA`, one row per image that people are asked about.
        checks: `CHECK_SCHEMA`, one row per paste.
        settings_yaml: The resolved settings.
        commands: Shell lines that repeat this cycle.
    """

    opening: Opening
    turns: tuple[Turn, ...]
    versions: tuple[Version, ...] = ()
    changes: Mapping[int, ChangeCounts] = field(default_factory=dict)
    class_sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    harvest: CycleHarvest | None = None
    training: TrainingRun | None = None
    committee: CommitteeRun | None = None
    calibration: Calibration | None = None
    certificates: Certificates | None = None
    standings: Mapping[str, ClassStanding] = field(default_factory=dict)
    shown_from: float | None = 0.0
    selected: SelectionRun | None = None
    blind_audit: Audits = field(default_factory=dict)
    audit: Audits | None = None
    push: PushRun | None = None
    asks_people: bool = True
    issues: tuple[ImportIssue, ...] = ()
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    mining: MiningRun | None = None
    mining_settings: MiningSettings = field(default_factory=MiningSettings)
    input_size_px: int = DetectorSettings().image_size_px
    samples: pa.Table = field(default_factory=SAMPLE_SCHEMA.empty_table)
    selection: pa.Table = field(default_factory=SELECTION_SCHEMA.empty_table)
    proposals: pa.Table = field(default_factory=PROPOSAL_SCHEMA.empty_table)
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
    def pool(self) -> int:
        """Images of the latest version that nobody has answered or declined: they are mined again every cycle."""
        return sum(self.versions[-1].count("images", state) for state in MINED_STATES) if self.versions else 0

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
        changes: What each version changed against its parent, by number.
        class_sources: Boxes of the last version by label and source.
        pages: Names of the pages to link to.
    """

    name: str
    turns: tuple[Turn, ...] = ()
    versions: tuple[Version, ...] = ()
    changes: Mapping[int, ChangeCounts] = field(default_factory=dict)
    class_sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    pages: frozenset[str] = frozenset()

    @staticmethod
    def of(contents: CycleContents, pages: Iterable[str]) -> IndexContents:
        """What the project's page shows after a cycle.

        Args:
            contents: The cycle.
            pages: Names of the pages that there are.
        """
        return IndexContents(
            name=contents.opening.name,
            turns=contents.turns,
            versions=contents.versions,
            changes=contents.changes,
            class_sources=contents.class_sources,
            pages=frozenset(pages),
        )
