"""The contents of a page, gathered from a cycle's artefacts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artefacts import (
    Audits,
    Calibration,
    Certificates,
    CommitteeRun,
    CycleEnd,
    CycleHarvest,
    Decision,
    GateOutcome,
    HiddenTruthAudit,
    ImportRun,
    MiningRun,
    Opening,
    PricedAnswers,
    PushRun,
    ReviewWork,
    SelectionRun,
    StageRecord,
    Standings,
    TrainingRun,
    add_audits,
)
from pipeline.cycle import Cycle
from pipeline.cycle_settings import SETTINGS
from pipeline.detector.models.registry import load_card
from pipeline.errors import ArtefactError, RowsGoneError
from pipeline.records import ImportIssue, Split, State
from pipeline.report.contents import CycleContents, IndexContents, Turn
from pipeline.report.data_tables import count_boxes
from pipeline.report.version_changes import changes_of
from pipeline.settings import dump_settings

STAGES: dict[str, type[StageRecord]] = {
    "import": ImportRun,
    "harvest": CycleHarvest,
    "committee": CommitteeRun,
    "finetune": TrainingRun,
    "gate": GateOutcome,
    "mine": MiningRun,
    "decide": Decision,
    "select": SelectionRun,
    "push": PushRun,
    "hidden truth": HiddenTruthAudit,
}
"""By the name that the page gives them, in the order in which they run."""
_MADE_WITH: dict[str, type[StageRecord]] = {
    "selection": Decision,
    "queue": Decision,
    "checks": MiningRun,
    "proposals": MiningRun,
}
"""The record that says of a table that it was made."""
_BOX = ["proposal_id", "x1", "y1", "x2", "y2"]
"""Columns of the proposals; their embeddings would fill the memory."""


@dataclass(frozen=True, slots=True)
class LearntLabels:
    """Training images that people labelled in a version, and boxes on them; None where nobody knows any more."""

    images: int
    boxes: int | None


def collect_index(cycle: Cycle) -> IndexContents:
    """Everything on the page of a project, from its last cycle on, without links to other pages."""
    versions = tuple(cycle.store.history())
    usable = [state for state in State if state is not State.QUARANTINED]
    return IndexContents(
        name=cycle.read(Opening).name,
        turns=turns_up_to(cycle),
        versions=versions,
        changes=changes_of(cycle, versions),
        class_sources=count_boxes(cycle.store.table(columns=["boxes"], states=usable)),
    )


def collect(cycle: Cycle) -> CycleContents:
    """Everything on the page of a cycle; stages that have not run leave their part empty."""
    folder, samples, versions = cycle.folder, cycle.store.table(), cycle.store.history()
    columns = {"selection": None, "queue": None, "checks": None, "proposals": _BOX}
    tables = {name: _table(cycle, name, wanted) for name, wanted in columns.items()}
    imported, mining, truth = cycle.find(ImportRun), cycle.find(MiningRun), cycle.find(HiddenTruthAudit)
    records = {name: cycle.find(kind) for name, kind in STAGES.items()}
    standings, decision = cycle.find(Standings), cycle.find(Decision)
    return CycleContents(
        opening=cycle.read(Opening),
        turns=turns_up_to(cycle),
        versions=tuple(versions),
        changes=changes_of(cycle, versions),
        class_sources=count_boxes(samples.filter(pc.field("state") != State.QUARANTINED.value)),
        harvest=cycle.find(CycleHarvest),
        training=cycle.find(TrainingRun),
        committee=cycle.find(CommitteeRun),
        calibration=cycle.find(Calibration),
        certificates=cycle.find(Certificates),
        standings=standings.classes if standings else {},
        shown_from=decision.shown_from if decision else 0.0,
        selected=cycle.find(SelectionRun),
        blind_audit=blind_audit(cycle),
        audit=(truth.labels or None) if truth else None,
        push=cycle.find(PushRun),
        asks_people=cycle.settings.labeling.asks_people,
        issues=(*(imported.issues if imported else ()), *_unreadable(mining)),
        stage_seconds={name: record.seconds for name, record in records.items() if record},
        mining=mining,
        mining_settings=cycle.settings.mining,
        input_size_px=_input_size_px(cycle, mining),
        samples=samples,
        **{name: table for name, table in tables.items() if table is not None},
        settings_yaml=dump_settings(cycle.settings),
        commands=(f"crosscheck cycle --config {folder.path(SETTINGS)}",),
    )


def turns_up_to(cycle: Cycle) -> tuple[Turn, ...]:
    """One row of the history per cycle up to this one, ascending."""
    return tuple(_turn(past) for past in cycle.up_to_here())


def _turn(cycle: Cycle) -> Turn:
    training, harvest, selected = cycle.find(TrainingRun), cycle.find(CycleHarvest), cycle.find(SelectionRun)
    certificates = cycle.find(Certificates)
    queue = _table(cycle, "queue") if cycle.settings.labeling.asks_people else None
    learnt = _learnt(cycle, training) if training else LearntLabels(0, 0)
    return Turn(
        cycle=cycle.number,
        opened_at=cycle.opened_at,
        gate=cycle.find(GateOutcome),
        labeled_images=learnt.images,
        taught_images=training.run.labeled_images if training else 0,
        labeled_boxes=learnt.boxes,
        asked_images=len(queue) if queue is not None else 0,
        asked_boxes=_sum(queue["boxes"]) if queue is not None else 0,
        answered_images=harvest.answered if harvest else 0,
        answered_boxes=sum(harvest.boxes.values()) if harvest else 0,
        hours=harvest.hours if harvest else None,
        reviews=harvest.reviews if harvest else ReviewWork(),
        priced=harvest.priced if harvest else PricedAnswers(),
        pseudo_images=selected.pseudo_images if selected else 0,
        pseudo_boxes=selected.pseudo_boxes if selected else 0,
        soft_boxes=selected.soft_boxes if selected else 0,
        certified=sum(each.certified for each in certificates.classes.values()) if certificates else 0,
        classes=len(cycle.settings.data.labels),
    )


def _learnt(cycle: Cycle, training: TrainingRun) -> LearntLabels:
    """Labels that a model could learn from, counted once; as its run tells where the rows are gone."""
    kept, name = cycle.workspace.folder("diffs"), f"{training.dataset_version:06d}-learnt.json"
    if not kept.exists(name):
        try:
            rows = cycle.store.table(
                training.dataset_version, ["boxes"], [State.LABELED], [Split.TRAIN, Split.VAL], ("label",)
            )
        except RowsGoneError:
            return LearntLabels(training.run.labeled_images, None)
        kept.write_record(name, LearntLabels(len(rows), _sum(pc.list_value_length(rows["boxes"]))))
    return kept.read_record(name, LearntLabels)


def blind_audit(cycle: Cycle) -> Audits:
    """What people have said of pseudo-labels that they did not see, in every cycle so far."""
    harvests = (past.find(CycleHarvest) for past in cycle.up_to_here())
    return add_audits(audits for harvest in harvests if harvest for audits in harvest.audits.values())


def _unreadable(mining: MiningRun | None) -> list[ImportIssue]:
    """Images that were fine when they were imported."""
    faults = mining.faults if mining else ()
    return [ImportIssue(fault.uri, "unreadable", fault.reason, "quarantined") for fault in faults]


def _input_size_px(cycle: Cycle, mining: MiningRun | None) -> int:
    """Longest side of the detector's input: of the model that mined, or as the settings say where its card is gone."""
    if mining is not None:
        with suppress(ArtefactError):
            return load_card(cycle.workspace.models, mining.model_id).detector.image_size_px
    return cycle.settings.detector.image_size_px


def _table(cycle: Cycle, name: str, columns: list[str] | None = None) -> pa.Table | None:
    """A table of a cycle; None where its stage has not run."""
    file, record = f"{name}.parquet", _MADE_WITH[name]
    if not cycle.folder.exists(file):
        _require_not_run(cycle, file, record)
        return None
    return cycle.folder.read_table(file, columns)


def _require_not_run(cycle: Cycle, file: str, record: type[StageRecord]) -> None:
    if not cycle.has(record):
        return
    drop = "" if cycle.has(CycleEnd) else " or drop the unfinished cycle with `crosscheck cycle --discard`,"
    raise ArtefactError(
        f"Expected {cycle.folder.path(file)}, found none, although {record.FILE} says that it was made. Restore it "
        f"from a backup,{drop} and write the report again."
    )


def _sum(values: pa.ChunkedArray) -> int:
    return int(pc.sum(values).as_py() or 0)
