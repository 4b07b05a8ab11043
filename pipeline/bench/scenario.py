"""A scenario of a benchmark: a set, how many of its images start labelled, and a seed; its detector is trained once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from pipeline.artefacts import Opening
from pipeline.bench.grid import Taken
from pipeline.cycle import Cycle, only_one, open_cycle
from pipeline.errors import PipelineError, SettingsError
from pipeline.progress import Progress, silent
from pipeline.runners import runner_of
from pipeline.settings import Settings, load_settings
from pipeline.stages.committee import train_committee
from pipeline.stages.finetune import finetune
from pipeline.stages.gate import gate
from pipeline.stages.importing import import_new
from pipeline.workspace import Workspace

OPENED_AT = datetime(2000, 1, 1, tzinfo=UTC)
"""The same for every run, so that a scenario does not depend on when it was prepared."""
EVERY_IMAGE = 10_000_000
"""As many labelled images as there are."""
BY_VAL = "selection.committee=1"
"""Detectors are measured on val, which nobody learns, unless a benchmark says otherwise."""
_TRAINED_BY = {"data", "detector", "training", "seed"}


@dataclass(frozen=True)
class Scenario:
    """A simulated project at its start.

    Attributes:
        config: Settings file of a simulated project.
        labelled: Images that start labelled; None: as many as the settings say.
        seed: Replaces that of the settings.
        root: Folder of the benchmark's workspaces and results.
        overrides: `section.key=value` texts, laid over the file.
    """

    config: Path
    labelled: int | None
    seed: int
    root: Path
    overrides: tuple[str, ...] = ()

    def settings(self, *changes: str) -> Settings:
        """The project's settings, in a workspace of its own.

        The workspace is named by everything that the trained detector depends on: changing any of that trains a new
        detector, changing anything else does not.

        Args:
            changes: `section.key=value` texts, laid over the file before the scenario's own overrides.

        Raises:
            SettingsError: The settings are refused, or are not those of a simulated project.
        """
        start = [] if self.labelled is None else [f"labeling.simulated.start={self.labelled}"]
        given = [BY_VAL, *changes, *self.overrides, f"seed={self.seed}", *start]
        settings = load_settings(self.config, given)
        if settings.labeling.backend != "simulated":
            raise SettingsError(
                f"{self.config}: expected labeling.backend 'simulated' for a benchmark, which needs the true boxes, "
                f"got {settings.labeling.backend!r}"
            )
        values = settings.model_dump(mode="json", include=_TRAINED_BY)
        if settings.selection.committee > 1:
            values["committee"] = settings.selection.committee
        if settings.selection.stacking:
            values["stacking"] = True
        values["labeling"] = settings.model_dump(mode="json", include={"labeling": {"simulated"}})["labeling"]
        name = f"{settings.name}-{labelled_images(settings)}-{self.seed}-{short_hash(values)}"
        return settings.model_copy(update={"workspace": str(self.root.resolve() / name)})


def scenarios(
    configs: Sequence[Path], labelled: Sequence[int], seeds: Sequence[int], root: Path, overrides: Sequence[str] = ()
) -> list[Scenario]:
    """Every set with every number of labelled images and every seed; all sets with one seed before the next."""
    varied = product(labelled, seeds, configs)
    return [Scenario(config, count, seed, root, tuple(overrides)) for count, seed, config in varied]


def labelled_images(settings: Settings) -> int:
    """How many images of the pool start labelled."""
    return settings.labeling.simulated.start if settings.labeling.simulated else 0


@dataclass(frozen=True)
class ScenarioResult:
    """The scenario of a result: the name of the set, the images that start labelled, and the seed."""

    set: str
    labelled: int
    seed: int


@dataclass(frozen=True)
class ScenarioCell:
    """A cell of a grid that measures something in a scenario."""

    scenario: Scenario

    @property
    def changes(self) -> tuple[str, ...]:
        """`section.key=value` texts, laid over the scenario's settings."""
        return ()

    @property
    def varied(self) -> tuple[object, ...]:
        """What the result depends on beside the settings."""
        return ()

    @property
    def settings(self) -> Settings:
        """Those of the scenario with the changes of this cell."""
        return self.scenario.settings(*self.changes)

    @property
    def name(self) -> str:
        """Name of its file."""
        return "-".join(map(str, (*astuple(self.identity), *self.varied, self.settings.digest())))

    @property
    def identity(self) -> ScenarioResult:
        """What the result says of its scenario."""
        settings = self.settings
        return ScenarioResult(settings.name, labelled_images(settings), settings.seed)


def train(settings: Settings, progress: Progress = silent) -> Cycle:
    """Import and train as a project's first cycle does; finished work is not repeated.

    Args:
        settings: Those of a scenario.
        progress: Called while images are read and after every training step.

    Returns:
        Cycle 0, whose champion is the trained detector.

    Raises:
        Taken: Another process works in this workspace.
    """
    with alone(settings):
        if not Workspace(settings.workspace).cycle(0).exists(Opening.FILE):
            open_cycle(settings, OPENED_AT)
        # Scenarios that differ only in later steps share this cycle, whichever of them opened it.
        cycle = Cycle(settings, 0, OPENED_AT)
        import_new(cycle, progress)
        learn(cycle, progress)
    return cycle


def learn(cycle: Cycle, progress: Progress = silent) -> None:
    """Train what a cycle trains, and let its candidate through the gate."""
    with runner_of(cycle.settings.runner) as runner:
        train_committee(cycle, progress, runner)
        finetune(cycle, progress)
        gate(cycle, progress, runner)


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keep other processes out of a workspace.

    Raises:
        Taken: Another process works in it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(only_one(settings))
        except PipelineError as fault:
            raise Taken(str(fault)) from fault
        yield


def short_hash(values: object) -> str:
    """8 hex digits of plain values, for names of folders and files."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
