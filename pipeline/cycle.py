"""One turn of the loop: its number, its settings, and the folder that its artefacts go to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import ClassVar, Protocol, TypeVar

from pipeline.artefacts import FORMAT, CycleEnd, Opening, RunOfCycle, StageRecord, WorkspaceFormat
from pipeline.cycle_settings import SETTINGS, read_settings, write_settings
from pipeline.dataset.code_version import code_version
from pipeline.dataset.snapshot import Snapshot
from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError, PipelineError, SettingsError
from pipeline.folder import Folder
from pipeline.lock import alone
from pipeline.settings import ANYTIME, Settings, changed_keys, lasting, with_anytime
from pipeline.workspace import Workspace

LOG = logging.getLogger(__name__)


class Artefact(Protocol):
    """A frozen record that knows its file and the command that makes it."""

    FILE: ClassVar[str]
    MADE_BY: ClassVar[str]


A = TypeVar("A", bound=Artefact)
S = TypeVar("S", bound=StageRecord)


@dataclass(frozen=True)
class Cycle:
    """A cycle that was opened.

    Attributes:
        settings: Those it was opened with.
        number: From 0.
        opened_at: UTC; machine boxes carry it.
        snapshot: The sample table as it stood, see `at_rest`; None where it is read as it is.
    """

    settings: Settings
    number: int
    opened_at: datetime
    snapshot: Snapshot | None = field(default=None, compare=False)

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
        return self.snapshot or SampleStore(self.workspace.samples_uri)

    def at_rest(self) -> Cycle:
        """The same for reading alone: its sample table is opened once, and later versions are not seen."""
        return replace(self, snapshot=Snapshot(self.workspace.samples_uri))

    def once(self, kind: type[S], run: Callable[[], S]) -> S:
        """Run a stage unless its artefact is there.

        This is the one mechanism that makes a cycle resumable: it needs no server, and what it rests on lies in the
        workspace, so that a cycle goes on the same way from a flow, the command line and Python.

        Args:
            kind: The stage's record.
            run: Does the work.

        Returns:
            The record as it was written, with the `seconds` it took.
        """
        if not self.has(kind):
            began = time.monotonic()
            record = run()
            self.write(replace(record, seconds=round(time.monotonic() - began, 3)))
        return self.read(kind)

    def has(self, kind: type[Artefact]) -> bool:
        """Tell whether an artefact was written."""
        return self.folder.exists(kind.FILE)

    def write(self, record: Artefact) -> None:
        """Write an artefact, whole or not at all."""
        self.folder.write_record(record.FILE, record)

    def read(self, kind: type[A]) -> A:
        """Read an artefact.

        Raises:
            ArtefactError: It was not written, or is damaged.
        """
        if not self.has(kind):
            raise ArtefactError(
                f"Expected {kind.FILE} in cycle {self.number}, found none. `{kind.MADE_BY}` makes it; run that first."
            )
        return self.folder.read_record(kind.FILE, kind)

    def find(self, kind: type[A]) -> A | None:
        """Read an artefact; None where it was not written."""
        return self.read(kind) if self.has(kind) else None

    def before(self) -> Cycle | None:
        """The cycle before this one; None for the first."""
        return load_cycle(self.settings.workspace, self.number - 1) if self.number else None

    def up_to_here(self) -> list[Cycle]:
        """Every cycle up to this one, ascending."""
        numbers = [number for number in self.workspace.cycles() if number <= self.number]
        return [replace(load_cycle(self.settings.workspace, number), snapshot=self.snapshot) for number in numbers]


def open_cycle(settings: Settings, now: datetime, unattended: bool = False) -> Cycle:
    """Go on with the cycle that was not finished, or open the next one.

    Args:
        settings: Those of the next cycle; an unfinished one takes of them what may change at any time, see `ANYTIME`.
        now: UTC.
        unattended: Nobody reads a refusal: an unfinished cycle goes on with the other settings it was opened with.

    Returns:
        The cycle.

    Raises:
        SettingsError: An unfinished cycle was opened with other settings.
        ArtefactError: The workspace is of another release whose files differ.
    """
    workspace = Workspace(settings.workspace)
    opened = [number for number in workspace.cycles() if workspace.cycle(number).exists(Opening.FILE)]
    last = load_cycle(settings.workspace, max(opened)) if opened else None
    if last is None or last.has(CycleEnd):
        return _open_next(last, settings, now.astimezone(UTC))
    return _go_on(last, settings, unattended)


def _go_on(cycle: Cycle, edited: Settings, unattended: bool) -> Cycle:
    changed = changed_keys(cycle.settings, edited)
    others = ", ".join(lasting(changed))
    if others and not unattended:
        raise SettingsError(
            f"Cycle {cycle.number} is not finished and was opened with other settings: {others}. Finish it with "
            f"`crosscheck cycle --config {cycle.folder.path(SETTINGS)}`, or drop it with `--discard`. A scheduled run "
            f"finishes it as it was opened. These may change at any time: {', '.join(ANYTIME)}."
        )
    if others:
        LOG.warning(
            "Cycle %d goes on with the settings it was opened with; what was edited since counts from the next cycle: "
            "%s. To have it now, drop the cycle with `crosscheck cycle --discard`.",
            cycle.number,
            others,
        )
    if not changed:
        return cycle
    goes_on = replace(cycle, settings=with_anytime(cycle.settings, edited))
    write_settings(goes_on.folder, goes_on.settings)
    return goes_on


def cycle_of_run(settings: Settings, run: str, now: datetime, unattended: bool = False) -> Cycle:
    """The cycle that a named run works at, however often the run is started: the one it finished, or see `open_cycle`.

    Args:
        settings: Those of the next cycle.
        run: Its name; may stand in the name of a file.
        now: UTC.
        unattended: See `open_cycle`.
    """
    runs, file = Workspace(settings.workspace).runs, f"{run}.json"
    if runs.exists(file):
        cycle = load_cycle(settings.workspace, runs.read_record(file, RunOfCycle).cycle)
        if cycle.has(CycleEnd):
            return cycle
    cycle = open_cycle(settings, now, unattended)
    runs.write_record(file, RunOfCycle(cycle.number))
    return cycle


def load_cycle(workspace: str, number: int) -> Cycle:
    """Read a cycle that was opened.

    Args:
        workspace: Folder or URI.
        number: Which.

    Returns:
        The cycle, with its own settings.

    Raises:
        ArtefactError: It was never opened, or by another release whose files differ.
    """
    folder = Workspace(workspace).cycle(number)
    opening = folder.read_record(Opening.FILE, Opening)
    _require_not_newer(folder.uri, opening.format, opening.release)
    if opening.format != FORMAT:
        raise ArtefactError(
            f"Expected cycle {number} in {workspace} to hold files of format {FORMAT}, found format {opening.format}, "
            "of an older release of crosscheck. Go on with that release, or take the labels over: "
            "`crosscheck versions export` still reads them, and a new workspace imports what it writes."
        )
    return Cycle(read_settings(workspace, folder, opening), number, opening.opened_at)


def require_known_format(workspace: Workspace) -> None:
    """Refuse a workspace that a newer release has written to.

    Raises:
        ArtefactError: One has.
    """
    if workspace.exists(WorkspaceFormat.FILE):
        written = workspace.read_record(WorkspaceFormat.FILE, WorkspaceFormat)
        _require_not_newer(workspace.uri, written.format, written.release)


def _require_not_newer(place: str, found: int, release: str) -> None:
    if found > FORMAT:
        raise ArtefactError(
            f"{place}: expected files of format {FORMAT}, found format {found}, written by a newer release of "
            f"crosscheck ({release or 'it does not say which'}; this is {code_version()}). Upgrade to that release."
        )


def _open_next(last: Cycle | None, settings: Settings, now: datetime) -> Cycle:
    cycle = Cycle(settings, last.number + 1 if last else 0, now)
    write_settings(cycle.folder, settings)
    written = WorkspaceFormat(FORMAT, code_version())
    cycle.workspace.write_record(WorkspaceFormat.FILE, written)
    cycle.write(
        Opening(
            cycle.number,
            now,
            settings.digest(),
            settings.seed,
            settings.name,
            format=FORMAT,
            release=written.release,
            hashed_settings=True,
        )
    )
    return cycle


def last_cycle(settings: Settings) -> Cycle | None:
    """The newest cycle of a project; None before the first."""
    numbers = Workspace(settings.workspace).cycles()
    return load_cycle(settings.workspace, max(numbers)) if numbers else None


def unfinished_cycle(settings: Settings) -> int | None:
    """Number of the cycle that is not finished; None where every cycle is."""
    workspace = Workspace(settings.workspace)
    numbers = [number for number in workspace.cycles() if not workspace.cycle(number).exists(CycleEnd.FILE)]
    return max(numbers, default=None)


@contextmanager
def between_cycles(settings: Settings, why: str) -> Iterator[None]:
    """Be alone in a workspace of which every cycle is finished.

    Args:
        settings: The project.
        why: Speaks of a cycle under way: what it has to do with what is about to be done.

    Raises:
        PipelineError: A cycle is under way, or another run.
    """
    with only_one(settings):
        number = unfinished_cycle(settings)
        if number is not None:
            raise PipelineError(
                f"Expected every cycle to be finished, cycle {number} is under way {why}. Finish it with `crosscheck "
                "cycle`, or drop it with `crosscheck cycle --discard`."
            )
        yield


def finish_cycle(cycle: Cycle, now: datetime) -> None:
    """Mark a cycle as finished; the next one may open."""
    if not cycle.has(CycleEnd):
        cycle.write(CycleEnd(now.astimezone(UTC)))


def only_one(settings: Settings, wait_s: float = 0.0, kind: str = "run") -> AbstractContextManager[None]:
    """Keep two runs in one workspace apart, see `lock.alone`, and out of one that a newer release has written to."""
    workspace = Workspace(settings.workspace)
    require_known_format(workspace)
    return alone(workspace, wait_s, kind)
