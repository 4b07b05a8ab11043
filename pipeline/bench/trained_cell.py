"""One cell of a benchmark: a set, a number of labelled images and a seed, with a detector trained on just these."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.settings import Settings, load_settings
from pipeline.stages.cycle import Cycle, Progress, only_one, silent
from pipeline.stages.finetune import finetune, gate
from pipeline.stages.importing import import_new

OPENED_AT = datetime(2000, 1, 1, tzinfo=UTC)
"""The same for every run, so that a cell is the same whenever it was made."""
_TRAINED_BY = {"data", "detector", "training", "seed"}


def cell_settings(config: Path, labelled: int | None, seed: int, root: str, overrides: Iterable[str] = ()) -> Settings:
    """Settings of a cell: those of a set with another seed, another start and a workspace of its own.

    Args:
        config: Settings file of a simulated project.
        labelled: Images whose labels the detector learns from; None: as many as the settings say.
        seed: In place of the settings' own.
        root: Folder of the benchmark's workspaces.
        overrides: `section.key=value` texts, laid over the file.

    Returns:
        The settings. The workspace is named by everything that the trained detector depends on, so that a change of
        these trains anew and a change of anything else does not.

    Raises:
        SettingsError: The settings are refused, or are no simulated project.
    """
    start = [] if labelled is None else [f"labeling.simulated.start={labelled}"]
    settings = load_settings(config, [*overrides, f"seed={seed}", *start])
    if settings.labeling.backend != "simulated":
        raise SettingsError(f"{config}: expected labeling.backend 'simulated' for a benchmark, which knows the truth")
    values = settings.model_dump(mode="json", include=_TRAINED_BY)
    values["labeling"] = settings.model_dump(mode="json", include={"labeling": {"simulated"}})["labeling"]
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    given = settings.labeling.simulated.start if settings.labeling.simulated else 0
    workspace = str(Path(root).resolve() / f"{settings.name}-{given}-{seed}-{digest}")
    return settings.model_copy(update={"workspace": workspace})


def train_cell(settings: Settings, progress: Progress = silent) -> Cycle:
    """Import and train as the first cycle does; what was finished before is not done again.

    Args:
        settings: Those of the cell.
        progress: Told while images are read and after every training step.

    Returns:
        The cell's cycle 0, whose champion is the trained detector.
    """
    cycle = Cycle(settings, 0, OPENED_AT)
    with only_one(settings):
        import_new(cycle, progress)
        finetune(cycle, progress)
        gate(cycle)
    return cycle
