"""One turn of the loop: its number, its settings, and the folder that its artefacts go to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from pipeline.dataset.store import SampleStore
from pipeline.detector.models.registry import reinstate
from pipeline.errors import ArtefactError, PipelineError, SettingsError
from pipeline.settings import Settings, dump_settings, parse_settings
from pipeline.workspace import Folder, Workspace

OPENING, SETTINGS, METRICS, DONE = "cycle.json", "settings.yaml", "metrics.json", "done.json"

Progress = Callable[[str, int, int], None]
"""Called with (what is done, done, total) while a stage works."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Cycle:
    """A cycle under way.

    Attributes:
        settings: Those it was opened with.
        number: From 0.
        opened_at: UTC; machine boxes carry it.
    """

    settings: Settings
    number: int
    opened_at: datetime

    @property
    def workspace(self) -> Workspace:
        """Where everything lies."""
        return Workspace(self.settings.workspace)

    @property
    def folder(self) -> Folder:
        """Artefacts of this cycle."""
        return self.workspace.cycle(self.number)

    @property
    def store(self) -> SampleStore:
        """The sample table."""
        return SampleStore(self.workspace.samples_uri)

    def once(self, stage: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Run a stage unless its artefact is there.

        Args:
            stage: Its name; the artefact is `<stage>.json`.
            run: Does the work; what it gives becomes the artefact, with the `seconds` it took.

        Returns:
            The artefact.
        """
        name = f"{stage}.json"
        if not self.folder.exists(name):
            self.folder.write_json(name, timed(run))
        artefact: dict[str, Any] = self.folder.read_json(name)
        return artefact

    def artefact(self, stage: str) -> dict[str, Any]:
        """What an earlier stage wrote.

        Raises:
            ArtefactError: It has not run.
        """
        if not self.folder.exists(f"{stage}.json"):
            raise ArtefactError(f"Expected the stage {stage!r} of cycle {self.number} to have run; run it first.")
        artefact: dict[str, Any] = self.folder.read_json(f"{stage}.json")
        return artefact

    def previous(self, stage: str) -> dict[str, Any] | None:
        """What a stage wrote in the cycle before this one; None in the first."""
        return load_cycle(self.settings.workspace, self.number - 1).artefact(stage) if self.number else None


def timed(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a stage; what it gives, with the `seconds` it took."""
    began = time.monotonic()
    made = run()
    return {**made, "seconds": round(time.monotonic() - began, 3)}


def open_cycle(settings: Settings, now: datetime) -> Cycle:
    """Go on with the cycle that was not finished, or open the next one.

    Args:
        settings: Those of the next cycle; an unfinished one must have been opened with equal ones.
        now: UTC.

    Returns:
        The cycle.

    Raises:
        SettingsError: An unfinished cycle was opened with other settings.
    """
    workspace = Workspace(settings.workspace)
    last = max((number for number in workspace.cycles() if workspace.cycle(number).exists(OPENING)), default=-1)
    if last >= 0 and not workspace.cycle(last).exists(DONE):
        cycle = load_cycle(settings.workspace, last)
        if cycle.settings.digest() != settings.digest():
            raise SettingsError(
                f"Cycle {last} is not finished and was opened with other settings. Finish it with "
                f"`crosscheck cycle --config {cycle.folder.path(SETTINGS)}`, or drop it with `--discard`."
            )
        return cycle
    opening = {
        "cycle": last + 1,
        "opened_at": now.astimezone(UTC).isoformat(),
        "settings_digest": settings.digest(),
        "seed": settings.seed,
        "name": settings.name,
    }
    folder = workspace.cycle(last + 1)
    folder.write_bytes(SETTINGS, dump_settings(settings).encode())
    folder.write_json(OPENING, opening)
    return Cycle(settings, last + 1, now.astimezone(UTC))


def load_cycle(workspace: str, number: int) -> Cycle:
    """Read a cycle that was opened.

    Args:
        workspace: Folder or URI.
        number: Which.

    Returns:
        The cycle, with its own settings.

    Raises:
        ArtefactError: It was never opened.
    """
    folder = Workspace(workspace).cycle(number)
    opening = folder.read_json(OPENING)
    values = yaml.safe_load(folder.read_bytes(SETTINGS))
    settings = parse_settings({**values, "workspace": workspace}, folder.path(SETTINGS))
    return Cycle(settings, number, datetime.fromisoformat(opening["opened_at"]))


def finish_cycle(cycle: Cycle, now: datetime) -> None:
    """Mark a cycle as finished; the next one may open."""
    if not cycle.folder.exists(DONE):
        cycle.folder.write_json(DONE, {"finished_at": now.astimezone(UTC).isoformat()})


def discard_cycle(settings: Settings) -> int:
    """Drop the cycle that was not finished, and what it committed.

    The champion before it is champion again; models that it trained stay on disk.

    Returns:
        Its number.

    Raises:
        PipelineError: There is none.
    """
    workspace = Workspace(settings.workspace)
    numbers = [number for number in workspace.cycles() if not workspace.cycle(number).exists(DONE)]
    if not numbers:
        raise PipelineError("Expected an unfinished cycle to discard, found none.")
    number = max(numbers)
    store = SampleStore(workspace.samples_uri)
    history = store.history() if store.exists() else []
    before = [one.number for one in history if one.cycle is None or one.cycle < number]
    if before:
        store.restore(max(before), f"cycle {number} discarded")
    folder = workspace.cycle(number)
    if folder.exists(METRICS):
        reinstate(workspace.models, folder.read_json(METRICS)["champion"])
    workspace.folder("cycles").remove(f"{number:04d}")
    return number


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Keep two runs in one workspace apart; a killed run holds nothing.

    A remote workspace has no lock file: there the deployment's concurrency limit keeps runs apart.

    Raises:
        PipelineError: Another run is under way.
    """
    workspace = Workspace(settings.workspace)
    if "://" in workspace.uri:
        yield
        return
    Path(workspace.uri).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(workspace.path("lock"), timeout=0):
            yield
    except Timeout as fault:
        raise PipelineError(f"Another run is under way in {workspace.uri}. Wait for its end.") from fault
