"""From artefacts to pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from numpy import uint8
from numpy.typing import NDArray

from pipeline.dataset.diff import diff_versions
from pipeline.dataset.images import read_image
from pipeline.dataset.versions import Version as StoredVersion
from pipeline.labeling.feedback.audit import STANDING, add_audits
from pipeline.records import ImportIssue, State
from pipeline.report.artefacts import Change, Harvest, MiningCost, Opening, Push, Selected, Version, read_artefact
from pipeline.report.contents import CycleContents, IndexContents, Turn, page_name
from pipeline.report.data_tables import count_boxes
from pipeline.report.figures import ap_by_cycle
from pipeline.report.measures import AuditCount, Calibration, Certificates, Gate, Training
from pipeline.report.page import render_cycle, render_index
from pipeline.report.summary import summary_line, summary_markdown, summary_rows
from pipeline.selection.withdrawal import Standing
from pipeline.settings import Settings, dump_settings
from pipeline.stages.cycle import OPENING, SETTINGS, Cycle, load_cycle
from pipeline.workspace import Folder, Workspace

T = TypeVar("T")
STAGES = ("import", "harvest", "training", "metrics", "mining", "decision", "select", "push", "audit")
INDEX = "index.html"


@dataclass(frozen=True)
class Summary:
    """A cycle in short.

    Attributes:
        line: For a terminal.
        markdown: For a run's page.
        rows: A table for a run's page.
    """

    line: str
    markdown: str
    rows: list[dict[str, str]]


def report(cycle: Cycle) -> dict[str, Any]:
    """Write the page of a cycle and the index; both are written anew each time.

    Returns:
        `report` (path of the page), `index` (path of the index) and `summary` (a line).
    """
    found = contents(cycle)
    max_pixels = cycle.settings.data.max_image_pixels

    def read_pixels(uri: str, longest_side_px: int) -> NDArray[uint8]:
        return read_image(uri, max_pixels, longest_side_px).pixels

    pages = cycle.workspace.reports
    pages.write_bytes(page_name(cycle.number), render_cycle(found, read_pixels, cycle.settings.report).encode())
    pages.write_bytes(INDEX, render_index(_index(cycle.settings, found)).encode())
    return {
        "report": pages.path(page_name(cycle.number)),
        "index": pages.path(INDEX),
        "summary": summary_line(found),
    }


def summary(cycle: Cycle) -> Summary:
    """A cycle in short."""
    found = contents(cycle)
    return Summary(summary_line(found), summary_markdown(found), summary_rows(found))


def progress_figure(cycle: Cycle) -> str:
    """Average precision by cycle, SVG."""
    return str(ap_by_cycle(_turns(cycle)))


def contents(cycle: Cycle) -> CycleContents:
    """Everything on the page of a cycle; stages that have not run leave their part empty."""
    folder = cycle.folder
    tables = {name: _table(folder, f"{name}.parquet") for name in ("selection", "queue", "checks")}
    imported = _json(folder, "import.json") or {"issues": []}
    mining = _json(folder, "mining.json")
    audit = (_json(folder, "audit.json") or {"labels": {}})["labels"]
    samples = cycle.store.table()
    return CycleContents(
        opening=read_artefact(Opening, folder.read_json(OPENING), folder.path(OPENING)),
        turns=tuple(_turns(cycle)),
        versions=tuple(_versions(cycle)),
        class_sources=count_boxes(samples.filter(pc.field("state") != State.QUARANTINED.value)),
        harvest=_artefact(folder, "harvest", Harvest),
        training=_training(folder),
        calibration=_artefact(folder, "calibration", Calibration),
        certificates=_artefact(folder, "certificates", Certificates),
        standings=_standings(folder),
        selected=_artefact(folder, "select", Selected),
        blind_audit=_blind_audit(cycle),
        audit=read_artefact(dict[str, AuditCount], audit, folder.path("audit.json")) if audit else None,
        push=_artefact(folder, "push", Push),
        issues=(*(ImportIssue(**issue) for issue in imported["issues"]), *_unreadable(mining)),
        stage_seconds=_seconds(folder),
        mining=_cost(mining),
        samples=samples,
        **{name: table for name, table in tables.items() if table is not None},
        settings_yaml=dump_settings(cycle.settings),
        commands=(f"crosscheck cycle --config {folder.path(SETTINGS)}",),
    )


def _index(settings: Settings, found: CycleContents) -> IndexContents:
    pages = set(Workspace(settings.workspace).reports.names())
    return IndexContents(
        name=settings.name,
        turns=found.turns,
        versions=found.versions,
        class_sources=found.class_sources,
        pages=frozenset(turn.cycle for turn in found.turns if page_name(turn.cycle) in pages),
    )


def _turns(cycle: Cycle) -> list[Turn]:
    opened = [number for number in cycle.workspace.cycles() if number <= cycle.number]
    return [_turn(load_cycle(cycle.workspace.uri, number)) for number in opened]


def _turn(cycle: Cycle) -> Turn:
    folder = cycle.folder
    training = _json(folder, "training.json")
    labeled = cycle.store.table(training["dataset_version"], ["split", "boxes"], [State.LABELED]) if training else None
    harvest, selected = _json(folder, "harvest.json"), _json(folder, "select.json")
    queue, certificates = _table(folder, "queue.parquet"), _artefact(folder, "certificates", Certificates)
    learnt = labeled.filter(pc.field("split") == "train") if labeled is not None else None
    return Turn(
        cycle=cycle.number,
        opened_at=cycle.opened_at,
        gate=_artefact(folder, "metrics", Gate),
        labeled_images=len(learnt) if learnt is not None else 0,
        labeled_boxes=_sum(pc.list_value_length(learnt["boxes"])) if learnt is not None else 0,
        asked_images=len(queue) if queue is not None else 0,
        asked_boxes=_sum(queue["boxes"]) if queue is not None else 0,
        answered_images=harvest["answered"] if harvest else 0,
        answered_boxes=sum(harvest["boxes"].values()) if harvest else 0,
        hours=harvest["hours"] if harvest else None,
        pseudo_images=selected["pseudo_images"] if selected else 0,
        pseudo_boxes=selected["pseudo_boxes"] if selected else 0,
        soft_boxes=selected.get("soft_boxes", 0) if selected else 0,
        certified=sum(one.certified for one in certificates.classes.values()) if certificates else 0,
        classes=len(cycle.settings.data.labels),
    )


def _versions(cycle: Cycle) -> list[Version]:
    return [_version(stored, _change(cycle, stored)) for stored in cycle.store.history()]


def _version(stored: StoredVersion, change: Change | None) -> Version:
    names = ("number", "parent", "timestamp", "reason", "cycle", "counts", "details")
    given: dict[str, Any] = {name: getattr(stored, name) for name in names}
    return Version(**given, model_id=stored.model_id or None, change=change)


def _change(cycle: Cycle, stored: StoredVersion) -> Change | None:
    """What a version changed; worked out once, since versions never do."""
    if stored.parent is None:
        return None
    kept, name = cycle.workspace.folder("diffs"), f"{stored.number:06d}.json"
    if not kept.exists(name):
        diff = diff_versions(cycle.store.table(stored.parent), cycle.store.table(stored.number))
        told = diff.to_json()
        kept.write_json(name, {"images": told["images"], "boxes": told["boxes"]})
    told = kept.read_json(name)
    added, removed = told["boxes"]["added"], told["boxes"]["removed"]
    images = {**told["images"]["states"], **{f"new->{state}": n for state, n in told["images"]["added"].items()}}
    return Change(images, added["by_source"], removed["by_source"], added["by_label"], removed["by_label"])


def _blind_audit(cycle: Cycle) -> dict[str, AuditCount]:
    """What people have said of pseudo-labels that they did not see, in every cycle so far."""
    folders = (cycle.workspace.cycle(number) for number in cycle.workspace.cycles() if number <= cycle.number)
    harvests = [folder.read_json("harvest.json") for folder in folders if folder.exists("harvest.json")]
    return {label: AuditCount(**one) for label, one in add_audits([one["audit"] for one in harvests]).items()}


def _standings(folder: Folder) -> dict[str, Standing]:
    known = folder.read_json(STANDING) if folder.exists(STANDING) else {}
    return read_artefact(dict[str, Standing], known, folder.path(STANDING))


def _training(folder: Folder) -> Training | None:
    values = _json(folder, "training.json")
    return read_artefact(Training, {**values, "seconds": values["train_seconds"]}, "training.json") if values else None


def _cost(mining: dict[str, Any] | None) -> MiningCost | None:
    if mining is None:
        return None
    return read_artefact(MiningCost, {**mining, "seconds": mining["step_seconds"]}, "mining.json")


def _unreadable(mining: dict[str, Any] | None) -> list[ImportIssue]:
    """Images that were fine when they were imported."""
    faults = mining["faults"] if mining else []
    return [ImportIssue(uri, "unreadable", reason, "quarantined") for _image_id, uri, reason in faults]


def _seconds(folder: Folder) -> dict[str, float]:
    told = {stage: _json(folder, f"{stage}.json") for stage in STAGES}
    return {stage: values["seconds"] for stage, values in told.items() if values}


def _artefact(folder: Folder, name: str, kind: type[T]) -> T | None:
    values = _json(folder, f"{name}.json")
    return None if values is None else read_artefact(kind, values, folder.path(f"{name}.json"))


def _json(folder: Folder, name: str) -> Any:
    return folder.read_json(name) if folder.exists(name) else None


def _table(folder: Folder, name: str) -> pa.Table | None:
    return folder.read_table(name) if folder.exists(name) else None


def _sum(values: pa.ChunkedArray) -> int:
    return int(pc.sum(values).as_py() or 0)
