"""Mining parts of the pool in several processes: what comes out of a part does not depend on who mines it, or when."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

from pipeline.errors import PipelineError
from pipeline.mining.parts import Part, PartedMining, Work
from pipeline.progress import Progress

LOG = logging.getLogger(__name__)
SECONDS_BETWEEN_LOOKS = 0.2

Prepare = Callable[[], PartedMining]
"""Loads detector and hosts in a process of its own; can be pickled."""


@dataclass(frozen=True)
class InProcesses:
    """Shares parts out among processes; those of a process that is lost are shared out again.

    Attributes:
        prepare: What each process begins with.
        workers: How many there are.
    """

    prepare: Prepare
    workers: int

    def __call__(self, work: Work, progress: Progress) -> None:
        """Mine what is missing, round by round; what a whole round did not advance is left to the caller."""
        while missing := work.missing:
            shares = [missing[start :: self.workers] for start in range(min(self.workers, len(missing)))]
            # Spawned, since a fork of a process whose torch has threads may hang.
            spawned = multiprocessing.get_context("spawn")
            processes = [
                spawned.Process(target=_mine, args=(self.prepare, work.prefix, share), daemon=True) for share in shares
            ]
            for process in processes:
                process.start()
            _wait(processes, work, progress)
            lost = sum(process.exitcode != 0 for process in processes)
            if lost:
                LOG.warning("%d of %d mining processes were lost; their parts are mined again", lost, len(processes))
            if len(work.missing) == len(missing):
                return


def _wait(processes: Sequence[BaseProcess], work: Work, progress: Progress) -> None:
    for process in processes:
        while process.exitcode is None:
            missing = sum(len(part.refs) for part in work.missing)
            total = sum(len(part.refs) for part in work.parts)
            progress("mining", total - missing, total)
            process.join(SECONDS_BETWEEN_LOOKS)


def _mine(prepare: Prepare, prefix: str, parts: Sequence[Part]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C the first process tells, and ends the others
    parent = multiprocessing.parent_process()
    try:
        mining = prepare()
        for part in parts:
            if parent is not None and not parent.is_alive():
                return  # killed: the next run mines the rest
            mining.mine_part(part, prefix)
    except PipelineError:
        sys.exit(1)  # the first process meets the same fault, and tells it
