"""Where a project stands and what happens next, from its files alone; needs no torch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pipeline.artefacts import (
    Certificates,
    CycleEnd,
    CycleHarvest,
    GateOutcome,
    ImportRun,
    MiningRun,
    PushRun,
    ReportRun,
    SelectionRun,
    Standings,
    TrainingRun,
)
from pipeline.cycle import Cycle, last_cycle
from pipeline.dataset.store import SampleStore
from pipeline.dataset.versions import Version
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.registry import load_card
from pipeline.lock import is_locked
from pipeline.records import State
from pipeline.settings import Settings, changed_keys, lasting
from pipeline.workspace import Workspace

_STAGES = (
    ("import", ImportRun),
    ("harvest", CycleHarvest),
    ("finetune", TrainingRun),
    ("gate", GateOutcome),
    ("mine", MiningRun),
    ("select", SelectionRun),
    ("push", PushRun),
    ("report", ReportRun),
)


@dataclass(frozen=True, slots=True)
class Champion:
    """The model in use and its mAP on val and test; None where not measured."""

    model_id: str
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True)
class LastCycle:
    """The newest cycle.

    Attributes:
        number: Its number, from 0.
        opened_at: UTC.
        finished_at: UTC; None while it is not finished.
        stage: The stage that comes next; empty where all are done.
        edited: Settings that were edited since and wait for the next cycle.
        certified: Classes of which boxes may be written without a person.
        withdrawn: Classes whose certificate was withdrawn.
    """

    number: int
    opened_at: datetime
    finished_at: datetime | None
    stage: str
    edited: tuple[str, ...] = ()
    certified: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a project stands.

    Attributes:
        project: Its name.
        workspace: Where it lies.
        running: Whether a run is under way: on this machine, and for a workspace on object storage on any.
        version: The newest dataset version; None before the first import.
        champion: The model in use; None before the first.
        cycle: The newest cycle; None before the first.
        free_bytes: On the disk of the workspace; None for a remote one.
        coming: What happens next, in words.
        images: Images of the newest version by state.
    """

    project: str
    workspace: str
    running: bool
    version: Version | None
    champion: Champion | None
    cycle: LastCycle | None
    free_bytes: int | None
    coming: str
    images: Mapping[str, int] = field(default_factory=dict)


def standing_of(settings: Settings) -> Standing:
    """Look where a project stands.

    Raises:
        ArtefactError: What it holds is damaged, or of another release.
    """
    workspace = Workspace(settings.workspace)
    store = SampleStore(workspace.samples_uri)
    version = store.history()[-1] if store.exists() else None
    cycle, running = last_cycle(settings), is_locked(workspace)
    newest = None if cycle is None else _last_cycle(cycle, settings)
    images = {} if version is None else version.counts.get("images", {})
    return Standing(
        settings.name,
        workspace.uri,
        running,
        version,
        _champion(workspace),
        newest,
        free_bytes(workspace),
        _coming(settings, running, newest, images),
        images,
    )


def free_bytes(workspace: Workspace) -> int | None:
    """Free space on the disk of a workspace, there or not yet; None for a remote one."""
    if "://" in workspace.uri:
        return None
    folder = Path(workspace.uri)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _champion(workspace: Workspace) -> Champion | None:
    model_id = champion_of(workspace)
    if model_id is None:
        return None
    metrics = load_card(workspace.models, model_id).metrics
    return Champion(model_id, *(metrics[split].map if split in metrics else None for split in ("val", "test")))


def _last_cycle(cycle: Cycle, settings: Settings) -> LastCycle:
    end, certificates, standings = cycle.find(CycleEnd), cycle.find(Certificates), cycle.find(Standings)
    stage = next((name for name, kind in _STAGES if not cycle.has(kind)), "")
    certified = () if certificates is None else (name for name, each in certificates.classes.items() if each.certified)
    return LastCycle(
        cycle.number,
        cycle.opened_at,
        None if end is None else end.finished_at,
        stage,
        () if end else lasting(changed_keys(cycle.settings, settings)),
        tuple(certified),
        () if standings is None else tuple(standings.withdrawn),
    )


def _coming(settings: Settings, running: bool, cycle: LastCycle | None, images: Mapping[str, int]) -> str:
    if running:
        return "a run is under way; wait for its end"
    if not images:
        return "`crosscheck import` takes in images and labels"
    if cycle is not None and cycle.finished_at is None:
        return f"`crosscheck cycle` goes on with cycle {cycle.number}: {cycle.stage or 'its end'}"
    queued = images.get(State.QUEUED, 0)
    if queued and settings.labeling.label_studio is not None and settings.labeling.backend == "label_studio":
        answers = f"people answer {queued} images at {settings.labeling.label_studio.url}; then "
    else:
        answers = ""
    return f"{answers}`crosscheck cycle` runs cycle {0 if cycle is None else cycle.number + 1}"
