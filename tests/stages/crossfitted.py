"""A project with a committee of two and nothing of split val, and detectors that know nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.artefacts import CommitteeRun, Member, TrainingRun
from pipeline.cycle import Cycle, finish_cycle, open_cycle
from pipeline.detector.models.detector import build_detector
from pipeline.detector.models.registry import ModelCard
from pipeline.detector.models.saved import save_model
from pipeline.folder import Folder
from pipeline.settings import load_settings
from pipeline.stages.importing import import_new
from tests.end_to_end.project import LABELS, labeled_sources, write_config

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


def config(folder: Path, images: Path, **training) -> Path:
    """Settings without val."""
    sources = [source for source in labeled_sources(images) if source["split"] != "val"]
    return write_config(
        folder,
        images,
        data={"labels": list(LABELS), "sources": sources},
        selection={"committee": 2, "target_precision": 0.5, "confidence": 0.8, "min_class_boxes": 5,
                   "query": {"images": 3}},
        training=training,
    )  # fmt: skip


def opened(path: Path) -> Cycle:
    """The next cycle, with its images."""
    cycle = open_cycle(load_settings(path), MOMENT)
    import_new(cycle)
    return cycle


def next_cycle(cycle: Cycle) -> Cycle:
    """The one after, opened with the same settings."""
    finish_cycle(cycle, MOMENT)
    return open_cycle(cycle.settings, MOMENT)


def untrained(cycle: Cycle, models: Folder, seed: int) -> str:
    """A detector that has learnt nothing."""
    settings = cycle.settings
    detector = build_detector(settings.detector, settings.data.labels, settings.training, seed)
    card = replace(ModelCard.of(settings, 0, None, cycle.number), seed=seed)
    return save_model(models, detector, card)


def spoiled(cycle: Cycle, run: CommitteeRun, seed: int = 1) -> CommitteeRun:
    """The same committee, its members without what they have learnt."""
    members: list[Member] = []
    for number, member in enumerate(run.members):
        members.append(replace(member, model_id=untrained(cycle, cycle.workspace.members, 10 * seed + number)))
    return replace(run, members=tuple(members))


def put_forward(cycle: Cycle, training: TrainingRun, committee: CommitteeRun, champion: str | None) -> None:
    """Let a model and a committee be what a cycle has trained."""
    cycle.workspace.models.folder(training.candidate).write_record(CommitteeRun.FILE, committee)
    cycle.write(committee)
    cycle.write(replace(training, parent=champion))
