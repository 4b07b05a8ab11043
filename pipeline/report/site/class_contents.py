"""What the page of a class shows, gathered from every cycle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.artefacts import (
    AcceptanceCount,
    Calibration,
    Certificate,
    Certificates,
    ClassMetrics,
    ClassStanding,
    CycleHarvest,
    Recall,
    Reliability,
    SelectionRun,
    Standings,
)
from pipeline.dataset.versions import Version
from pipeline.report.contents import Turn
from pipeline.report.site.class_counts import BoxCounts, ClassCounts, counts_of
from pipeline.report.site.project import Project
from pipeline.settings.report import ReportSettings


@dataclass(frozen=True, slots=True)
class ClassTurn:
    """One class in one cycle.

    Attributes:
        cycle: Its number.
        val: How the cycle's model did on what the gate compares on; None where not measured.
        test: On test.
        promoted: Whether that model became champion.
        version: The last dataset version of the cycle; None where it made none.
        total: Boxes of the class in it.
        boxes: The same by split and source; None where its rows are gone and were never counted.
        certificate: What was promised.
        standing: How the class stood after its audits.
        pseudo: Boxes that the cycle pseudo-labelled.
        accepted: What people did with the machine's boxes of the class, in all answers up to this cycle.
    """

    cycle: int
    val: ClassMetrics | None = None
    test: ClassMetrics | None = None
    promoted: bool = False
    version: int | None = None
    total: int = 0
    boxes: BoxCounts | None = None
    certificate: Certificate | None = None
    standing: ClassStanding | None = None
    pseudo: int = 0
    accepted: AcceptanceCount | None = None


@dataclass(frozen=True, slots=True)
class ClassContents:
    """Everything on the page of one class but its images, which follow from the newest cycle.

    Attributes:
        name: Of the project.
        label: The class.
        checked: What the gate compares on.
        turns: One row per cycle, ascending.
        now: Boxes of the newest version, by split and source.
        split: What the confusions were measured on.
        taken_for: What objects of the class are taken for, detections by class.
        mistaken: Objects of which classes are taken for it.
        recall: One row per size.
        reliability: By name of the score.
        pages: Cycles that have a page.
        settings: How many images are shown, how large.
    """

    name: str
    label: str
    checked: str
    turns: tuple[ClassTurn, ...]
    now: BoxCounts = field(default_factory=dict)
    split: str = "test"
    taken_for: Mapping[str, int] = field(default_factory=dict)
    mistaken: Mapping[str, int] = field(default_factory=dict)
    recall: tuple[Recall, ...] = ()
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    pages: tuple[int, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _CycleRecords:
    """What a cycle says of every class."""

    turn: Turn
    version: Version | None
    counts: ClassCounts | None
    certificates: Certificates | None
    standings: Standings | None
    harvest: CycleHarvest | None
    selected: SelectionRun | None


class ClassHistory:
    """What every cycle says of the classes, read once for all of them.

    Args:
        project: The project.
        checked: What the gate compares on.
    """

    def __init__(self, project: Project, checked: str) -> None:
        self._project, self._checked = project, checked
        last = {version.cycle: version for version in project.versions if version.cycle is not None}
        self._cycles = [_records(project, turn, last.get(turn.cycle)) for turn in project.turns]
        newest = project.versions[-1].number if project.versions else None
        self._now = counts_of(project.cycle, newest) if newest is not None else None
        self._calibration = project.cycle.find(Calibration)

    def labels(self) -> list[str]:
        """Every class of the settings and of the data, by name."""
        held = {label for version in self._project.versions[-1:] for label in version.counts.get("labels", {})}
        return sorted({*self._project.cycle.settings.data.labels, *held})

    def contents(self, label: str, pages: Iterable[int], settings: ReportSettings) -> ClassContents:
        """What the page of a class shows.

        Args:
            label: The class.
            pages: Cycles that have a page.
            settings: How many images are shown, how large.
        """
        turn = next((turn for turn in reversed(self._project.turns) if turn.gate), None)
        metrics = turn.metrics(turn.reported_split) if turn else None
        confusions = metrics.confusions if metrics else {}
        calibration = self._calibration or Calibration(0)
        return ClassContents(
            name=self._project.name,
            label=label,
            checked=self._checked,
            turns=tuple(_class_turn(records, label, self._checked) for records in self._cycles),
            now=self._now.classes.get(label, {}) if self._now else {},
            split=turn.reported_split if turn else "test",
            taken_for=confusions.get(label, {}),
            mistaken={true: own[label] for true, own in confusions.items() if label in own},
            recall=tuple(row for row in calibration.recall if row.label == label),
            reliability=calibration.classes.get(label, {}),
            pages=tuple(sorted(pages)),
            settings=settings.model_dump(),
        )


def _records(project: Project, turn: Turn, version: Version | None) -> _CycleRecords:
    cycle = project.cycles[turn.cycle]
    return _CycleRecords(
        turn,
        version,
        counts_of(project.cycle, version.number) if version else None,
        cycle.find(Certificates),
        cycle.find(Standings),
        cycle.find(CycleHarvest),
        cycle.find(SelectionRun),
    )


def _class_turn(records: _CycleRecords, label: str, checked: str) -> ClassTurn:
    turn, version = records.turn, records.version
    val, test = (metrics.per_class.get(label) if (metrics := turn.metrics(s)) else None for s in (checked, "test"))
    return ClassTurn(
        cycle=turn.cycle,
        val=val,
        test=test,
        promoted=bool(turn.gate and turn.gate.promoted),
        version=version.number if version else None,
        total=version.count("labels", label) if version else 0,
        boxes=records.counts.classes.get(label, {}) if records.counts else None,
        certificate=records.certificates.classes.get(label) if records.certificates else None,
        standing=records.standings.classes.get(label) if records.standings else None,
        pseudo=records.selected.pseudo_by_class.get(label, 0) if records.selected else 0,
        accepted=records.harvest.acceptance.classes.get(label) if records.harvest else None,
    )
