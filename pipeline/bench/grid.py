"""A grid of cells: every finished cell is one file, so that a killed benchmark goes on and processes share the work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from filelock import FileLock, Timeout

from pipeline.errors import PipelineError
from pipeline.folder import Folder
from pipeline.progress import Progress, silent

POLL_S = 2.0
"""Pause before the next attempt at cells that other processes are measuring."""

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Taken(PipelineError):
    """Another process is working on it."""


class Cell(Protocol[R_co]):
    """One measurement of a benchmark, such as a set, an arm and a seed."""

    @property
    def name(self) -> str:
        """Name of its file, without a suffix. It depends on everything that the result depends on."""

    def measure(self, progress: Progress) -> R_co:
        """Do the work.

        Returns:
            A frozen dataclass, which is kept as JSON.

        Raises:
            Taken: Another process is making something that this cell needs first; the cell is put off.
        """


@dataclass(frozen=True)
class Grid(Generic[R]):
    """Where the results of a benchmark lie, and what they are.

    The same grid may run in several processes at once, and cells may be added between two runs.

    Attributes:
        folder: Gets one JSON file per cell; a local folder, since its files are locked.
        kind: The record of a cell's result.
    """

    folder: Path
    kind: type[R]

    def run(self, cells: Sequence[Cell[R]], progress: Progress = silent) -> list[R]:
        """Measure the cells that have no result yet.

        A cell that another process is measuring is skipped. Once only such cells are left, this waits for them, and
        takes a cell over if its process dies.

        Args:
            cells: In the order in which they are begun; equal cells are measured once.
            progress: Called after every cell, and by the cells themselves.

        Returns:
            One result per cell, in order.
        """
        names = [cell.name for cell in cells]
        waiting = dict(zip(names, cells, strict=True))
        total = len(waiting)
        while waiting:
            before = len(waiting)
            for name, cell in list(waiting.items()):
                if self._finish(name, cell, progress):
                    del waiting[name]
                    progress("cells", total - len(waiting), total)
            if len(waiting) == before:
                progress("cells of other processes", 0, before)
                time.sleep(POLL_S)
        return [self._files.read_record(_file(name), self.kind) for name in names]

    def results(self) -> dict[str, R]:
        """Every finished result by the name of its cell, sorted."""
        files = [name for name in self._files.names() if name.endswith(".json")]
        return {name.removesuffix(".json"): self._files.read_record(name, self.kind) for name in files}

    @property
    def _files(self) -> Folder:
        return Folder(self.folder.resolve())

    def _finish(self, name: str, cell: Cell[R], progress: Progress) -> bool:
        """Measure a cell that has no result; False where another process is measuring it."""
        if self._files.exists(_file(name)):
            return True
        lock = self.folder / f"{name}.lock"
        try:
            with claim(lock):
                if not self._files.exists(_file(name)):
                    self._files.write_record(_file(name), cell.measure(progress))
                # A lock that vanishes misleads nobody: the next holder checks for the result first.
                lock.unlink(missing_ok=True)
        except Taken:
            return False
        return True


@contextmanager
def claim(lock: Path) -> Iterator[None]:
    """Keep other processes from the same work. The operating system frees the lock of a killed process.

    Args:
        lock: A file, created if missing.

    Raises:
        Taken: Another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(lock, timeout=0).acquire()
    except Timeout as fault:
        raise Taken(f"Another process works on {lock.stem}.") from fault
    with held:
        yield


def _file(name: str) -> str:
    return f"{name}.json"
