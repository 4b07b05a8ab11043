"""A cycle whose pool waits to be mined, and what comes out of it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from pipeline.cycle import open_cycle
from pipeline.labeling.annotators import labeling_backend
from pipeline.loop import FINETUNE, GATE, HARVEST, IMPORT, MINE, Surroundings, run_steps
from pipeline.settings import Settings, load_settings
from tests.end_to_end.project import write_config

TABLES = ("proposals.parquet", "checks.parquet", "held_back_proposals.parquet", "held_back_checks.parquet")
AROUND = Surroundings(lambda settings: labeling_backend(settings, None))


def learn(folder: Path, tiny_data: Path) -> tuple[Path, dict[str, bytes]]:
    """Train a champion; returns a workspace whose pool waits to be mined, and what one process finds there."""
    config = write_config(folder, tiny_data, training={"steps": 12}, mining={"chunk_images": 3})
    settings = load_settings(config)
    run_steps(open_cycle(settings, datetime.now(UTC)), (IMPORT, HARVEST, FINETUNE, GATE), AROUND)
    shutil.copytree(settings.workspace, folder / "waiting")
    return folder / "waiting", mined(settings)


def waiting(folder: Path, waiting: Path, tiny_data: Path, **runner: object) -> Settings:
    """A copy of that workspace with settings for a runner."""
    config = write_config(folder, tiny_data, training={"steps": 12}, mining={"chunk_images": 3}, runner=runner)
    shutil.copytree(waiting, folder / "workspace")
    return load_settings(config)


def mined(settings: Settings, progress=lambda what, done, total: None) -> dict[str, bytes]:
    """Mine, and return the tables as they lie there."""
    cycle = open_cycle(settings, datetime.now(UTC))
    run_steps(cycle, (MINE,), Surroundings(AROUND.annotators, progress))
    return {name: cycle.folder.read_bytes(name) for name in TABLES}
