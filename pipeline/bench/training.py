"""`crosscheck bench training`: what pseudo-labels are worth, between the labelled images alone and all labels.

Every arm trains twice for the same number of steps of the same batch, as the first two cycles of a project do, and is
measured on the test split. First, from pretrained weights and new layers drawn from the same seed, on the labelled
images (`all`: on every label); what comes of it makes the pseudo-labels. Then it goes on from there, in the arm
`labelled` with the labelled images alone, in others with their pseudo-labels as well. `val` calibrates, certifies and
gates; no arm learns from it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.bench.arms import (
    ABLATIONS,
    ALL,
    ARMS,
    GOING_ON,
    LABELLED,
    NAIVE,
    grade,
    naive_labels,
    our_labels,
)
from pipeline.bench.trained_cell import cell_settings, train_cell
from pipeline.detector.evaluation.gate import compare, verdict
from pipeline.detector.models.registry import load_model
from pipeline.detector.training.checkpoint import CHECKPOINT
from pipeline.errors import SettingsError
from pipeline.records import Sample, Split
from pipeline.settings import Settings, load_settings
from pipeline.stages.cycle import Cycle, Progress, silent
from pipeline.stages.finetune import cycle_seed, fit, judged, labeled_samples, measured
from pipeline.workspace import Folder

BUDGETS = {"bccd": 5, "deeppcb": 10, "cards": 10}
"""Labelled images by set: so few that labels of the pool still teach something."""
RECIPE = (
    "selection.query.images=0",
    "selection.soft_from=0.5",
    "mining.fusion.enabled=true",
    "training.ignore_regions=false",
    *GOING_ON,
)
"""Of `ours`, over what the settings say: nobody is asked, proposals are what several views agree on, likely ones are
soft labels, and what is left is background."""
EVERYTHING = 10_000_000
"""As many labelled images as there are."""


@dataclass(frozen=True)
class Cell:
    """A set, a number of labelled images and a seed.

    Attributes:
        config: Settings file of a simulated project.
        labelled: Images whose labels are known.
        seed: In place of the settings' own.
        overrides: `section.key=value` texts for every arm.
        root: Folder of the benchmark's workspaces.
    """

    config: Path
    labelled: int
    seed: int
    overrides: tuple[str, ...]
    root: str

    def settings(self, arm: str) -> Settings:
        """Those that an arm trains with.

        The workspace of a pseudo-labelled arm is named by how its detector is trained and how the pool is labelled, so
        that ablations share their labels.

        Raises:
            SettingsError: There is no such arm, or the settings are refused.
        """
        if arm not in {*ARMS, *ABLATIONS}:
            raise SettingsError(f"Expected arms among {', '.join([*ARMS, *ABLATIONS])}, got {arm!r}")
        if arm in {LABELLED, ALL}:
            return self._settings(EVERYTHING if arm == ALL else self.labelled)
        workspace = self._settings(self.labelled).workspace
        if arm in NAIVE:
            return self._settings(self.labelled, GOING_ON).model_copy(update={"workspace": workspace})
        own = self._settings(self.labelled, (*RECIPE, *ABLATIONS.get(arm, ())))
        labelled_by = own.model_dump(mode="json", include={"mining", "selection"})
        digest = hashlib.sha256(json.dumps(labelled_by, sort_keys=True).encode()).hexdigest()[:8]
        return own.model_copy(update={"workspace": f"{workspace}-{digest}"})

    def _settings(self, labelled: int, changed: Sequence[str] = ()) -> Settings:
        return cell_settings(self.config, labelled, self.seed, self.root, (*changed, *self.overrides))

    def name(self, arm: str) -> str:
        """File of an arm's result, named by all that it depends on: without pseudo-labels, what names its workspace."""
        settings = self.settings(arm)
        digest = Path(settings.workspace).name.rpartition("-")[2] if arm in {LABELLED, ALL} else settings.digest()
        return f"{settings.name}-{self.labelled}-{self.seed}-{arm}-{digest}.json"


def bench_training(
    configs: Sequence[Path],
    labelled: int | None,
    seeds: Sequence[int],
    arms: Sequence[str],
    *,
    overrides: Sequence[str] = (),
    root: str,
    results: str,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Train and measure every arm of every cell; what is finished is read, and a killed run goes on.

    Args:
        configs: Simulated projects with val and test splits.
        labelled: Labelled images; None: as `BUDGETS` or the settings say.
        seeds: All sets are measured with one before the next.
        arms: Among `ARMS` and `ABLATIONS`.
        overrides: `section.key=value` texts for every arm, such as `training.steps=50`.
        root: Folder of the benchmark's workspaces.
        results: Folder that gets a JSON file a cell and arm.
        progress: Told after every arm, and while a detector is trained.

    Returns:
        A row a cell and arm: `set`, `labelled`, `seed`, `arm`, `map`, `map50`, `per_class`, `map_before` (of the first
        half), `steps` of both halves, `seconds` of the second, `gate`, and of pseudo-labelled arms what was true of
        their labels.
    """
    budgets = {config: labelled or _budget(config) for config in configs}
    cells = [Cell(config, budgets[config], seed, tuple(overrides), root) for seed in seeds for config in configs]
    runs = [(cell, arm, cell.name(arm)) for cell in cells for arm in arms]
    kept, rows = Folder(str(Path(results).resolve())), []
    for done, (cell, arm, name) in enumerate(runs, 1):
        if not kept.exists(name):
            kept.write_json(name, _measure(cell, arm, progress))
        rows.append(kept.read_json(name))
        progress("arms", done, len(runs))
    return rows


def _budget(config: Path) -> int:
    settings = load_settings(config)
    given = settings.labeling.simulated.start if settings.labeling.simulated else 0
    return BUDGETS.get(settings.name, given)


def _measure(cell: Cell, arm: str, progress: Progress) -> dict[str, Any]:
    settings = cell.settings(arm)
    row = {"set": settings.name, "labelled": cell.labelled, "seed": cell.seed, "arm": arm}
    base = train_cell(cell.settings(ALL if arm == ALL else LABELLED), progress)
    if arm in {LABELLED, ALL}:
        return row | _trained(base, settings, arm, [], progress)
    pseudo = naive_labels(base, NAIVE[arm]) if arm in NAIVE else our_labels(_branch(base, settings), progress)
    labels = grade(base, pseudo)
    told = _trained(base, settings, arm, pseudo, progress)
    return row | told | {"pseudo": {**asdict(labels), "precision": labels.precision, "recall": labels.recall}}


def _branch(base: Cycle, settings: Settings) -> Cycle:
    """A copy of a trained cell that goes on as `ours`, or as an ablation that labels the pool otherwise.

    Ablations of training alone share it, and what was mined in it.
    """
    place = Path(settings.workspace)
    if not place.exists():
        unfinished = place.with_suffix(".tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(base.workspace.uri, unfinished, ignore=shutil.ignore_patterns("arms", "lock"))
        unfinished.replace(place)
    return Cycle(settings, base.number, base.opened_at)


def _trained(base: Cycle, settings: Settings, arm: str, pseudo: list[Sample], progress: Progress) -> dict[str, Any]:
    """Go on from the base with its labels and pseudo-labels of the pool, and hold the outcome against it."""
    seed = cycle_seed(settings, base.number + 1)
    before, models = base.artefact("metrics"), base.workspace.models
    detector, champion = (load_model(models, str(before["candidate"]), settings.training) for _ in range(2))
    held_back = labeled_samples(base.store, Split.VAL)
    folder = base.workspace.folder("arms", arm)
    run = fit(
        detector,
        [*labeled_samples(base.store, Split.TRAIN), *pseudo],
        held_back,
        settings,
        seed=seed,
        checkpoints=folder,
        identity=f"{settings.digest()} {arm}",
        progress=progress,
    )
    test = measured(settings, detector, labeled_samples(base.store, Split.TEST))
    on_val, was = (judged(settings, one, held_back) for one in (detector, champion))
    promoted, why = verdict(compare(on_val, was, settings.seed), settings.training.gate_tolerance)
    folder.remove(CHECKPOINT)
    return {
        "map": test.map,
        "map50": test.map50,
        "per_class": test.per_class,
        "map_before": before["test"]["map"],
        "steps": base.artefact("training")["steps"] + run["steps"],
        "seconds": run["train_seconds"],
        "images_per_s": run["images_per_s"],
        "gate": {"promoted": promoted, "why": why},
    }
