"""Work in several processes of this machine."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Self

from pipeline.errors import PipelineError
from pipeline.progress import Progress
from pipeline.runners.work import ALONE, Item, Made, Work

LOG = logging.getLogger(__name__)
SECONDS_BETWEEN_LOOKS = 0.2
PATIENCE_S = 5.0
LOST = (EOFError, OSError)
"""What a line raises whose other end is gone."""


class InProcesses:
    """Hands items out to processes, one by one; those of a process that is lost are handed out again.

    Processes are started by the first work, and stay for the next: each has a torch to load.

    Args:
        workers: How many there are.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._team: list[_Worker] = []

    def __enter__(self) -> Self:
        """Ready; nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        for worker in self._team:
            worker.end()
        self._team.clear()

    def run(self, work: Work[Item, Made], progress: Progress) -> None:
        """Do what is missing, round by round; what a whole round did not advance is done in this process."""
        while missing := work.missing:
            for worker in [worker for worker in self._team if not worker.lives]:
                self._dismiss(worker)
            self._team += [_Worker() for _ in range(min(self._workers, len(missing)) - len(self._team))]
            lost = self._round(work, progress)
            if lost:
                LOG.warning("%d processes were lost; their %s are done again", lost, work.UNIT)
            if len(work.missing) == len(missing):
                break
        ALONE.run(work, progress)

    def _round(self, work: Work[Item, Made], progress: Progress) -> int:
        """Hand every missing item out once, as long as there are workers; returns how many of these were lost."""
        waiting, busy = deque(work.missing), dict[Connection, tuple[_Worker, Item]]()
        team = len(self._team)

        def hand(worker: _Worker) -> None:
            if waiting and not worker.send(waiting[0]):
                self._dismiss(worker)
            elif waiting:
                busy[worker.line] = worker, waiting.popleft()

        work.tell(progress)
        for worker in list(self._team):
            if worker.send(work.elsewhere):
                hand(worker)
            else:
                self._dismiss(worker)
        while busy:
            for line in connection.wait(list(busy), SECONDS_BETWEEN_LOOKS):
                worker, item = busy.pop(line)  # type: ignore[call-overload]
                try:
                    work.keep(item, worker.line.recv())
                except LOST:
                    self._dismiss(worker)
                else:
                    hand(worker)
            work.tell(progress)
        for worker in self._team:
            worker.send(None)
        return team - len(self._team)

    def _dismiss(self, worker: _Worker) -> None:
        worker.end()
        self._team.remove(worker)


class _Worker:
    """A process, and the line to it."""

    def __init__(self) -> None:
        # Spawned, since a fork of a process whose torch has threads may hang.
        spawned = multiprocessing.get_context("spawn")
        self.line, theirs = spawned.Pipe()
        self._process: BaseProcess = spawned.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def lives(self) -> bool:
        """Whether it can do anything."""
        return self._process.is_alive()

    def send(self, order: object) -> bool:
        """Tell it something; false where it is gone."""
        try:
            self.line.send(order)
        except LOST:
            return False
        return True

    def end(self) -> None:
        """Have it end, and wait until it has."""
        self.line.close()
        self._process.terminate()
        self._process.join(PATIENCE_S)
        self._process.kill()
        self._process.join()


def _serve(line: Connection) -> None:
    """Do work after work: what prepares it comes first, then its items, then None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C the first process tells, and ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(*LOST):
        while True:
            prepare: Callable[[], Callable[[Any], Any]] = line.recv()
            try:
                _do(line, prepare)
            except PipelineError:
                sys.exit(1)  # the first process meets the same fault, and tells it


def _do(line: Connection, prepare: Callable[[], Callable[[Any], Any]]) -> None:
    first = line.recv()
    if first is None:
        return
    do = prepare()
    line.send(do(first))
    while (item := line.recv()) is not None:
        line.send(do(item))


def _end_with_parent() -> None:
    """Every write is whole or not at all, so that a process may end at any moment."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
