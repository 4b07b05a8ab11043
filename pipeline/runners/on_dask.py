"""Work on a Dask cluster.

Images of the pool are ordered by the SHA-256 of their files, so that a part of it is a range of a stable hash.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self
from uuid import uuid4

from pipeline.errors import RemoteError
from pipeline.progress import Progress
from pipeline.runners.dask_cluster import Cluster, WorkerLost, connected, connection_guard, outcome
from pipeline.runners.dask_worker import Preparation, do_item, forget
from pipeline.runners.work import Item, Made, Work

if TYPE_CHECKING:
    from pipeline.runners.dask_cluster import Call

LOG = logging.getLogger(__name__)
ITEMS_PER_WORKER = 3
"""One is being done and others wait beside it, so that a large pool floods neither scheduler nor memory."""


class OnDask:
    """Hands items out to a cluster; those of a worker that is lost are handed out again.

    The first work connects to the cluster, or starts it; the next ones find it.

    Args:
        scheduler: Address of a cluster; None starts one on this machine.
        workers: Processes of a cluster that is started here.
    """

    def __init__(self, scheduler: str | None, workers: int) -> None:
        self._scheduler = scheduler
        self._workers = workers
        self._stack = ExitStack()
        self._cluster: Cluster | None = None

    def __enter__(self) -> Self:
        """Ready; nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster, and end one that was started here."""
        self._cluster = None
        self._stack.close()

    def run(self, work: Work[Item, Made], progress: Progress) -> None:
        """Do what is missing, round by round.

        Raises:
            RemoteError: There is no cluster, its workers cannot do it, or a whole round lost all of its items.
        """
        if not work.missing:
            return
        if self._cluster is None:
            self._cluster = self._stack.enter_context(connected(self._scheduler, self._workers))
        with connection_guard(self._cluster):
            self._rounds(self._cluster, work, progress)
            self._cluster.everywhere(forget)

    def _rounds(self, cluster: Cluster, work: Work[Item, Made], progress: Progress) -> None:
        while missing := work.missing:
            lost = _Round(cluster, Preparation(uuid4().hex, work.elsewhere), work, progress).do(missing)
            if len(lost) == len(missing):
                raise RemoteError(
                    f"Dask lost several workers with each of {len(lost)} {work.UNIT}. See the workers' logs; where "
                    f"memory ran out, {work.RELIEF}, which may change at any time. Then run again."
                )
            if lost:
                LOG.warning("Dask lost workers with %d %s; they are done again", len(lost), work.UNIT)


@dataclass(frozen=True)
class _Round(Generic[Item, Made]):
    """One try at items."""

    cluster: Cluster
    preparation: Preparation
    work: Work[Item, Made]
    progress: Progress

    def do(self, missing: Sequence[Item]) -> list[Item]:
        """Do items and keep what they give here; returns those that were lost with several workers each."""
        waiting, running, lost = deque(missing), dict["Call", Item](), list[Item]()
        left, total = (sum(map(self.work.size, items)) for items in (missing, self.work.items))
        self.progress(self.work.NAME, total - left, total)
        while waiting or running:
            most = ITEMS_PER_WORKER * max(1, self.cluster.workers)
            while waiting and len(running) < most:
                item = waiting.popleft()
                running[self.cluster.submit(do_item, self.preparation, item)] = item
            for call in self.cluster.finished(list(running)):
                item = running.pop(call)
                if self._keep(item, call):
                    left -= self.work.size(item)
                    self.progress(self.work.NAME, total - left, total)
                else:
                    lost.append(item)
        return lost

    def _keep(self, item: Item, call: Call) -> bool:
        try:
            made: Made = outcome(call)
        except WorkerLost:
            return False
        except RemoteError as fault:
            raise RemoteError(
                f"{fault} Each worker needs this release of crosscheck, and must reach {self.work.place} and the "
                "images; `crosscheck doctor` looks at them."
            ) from fault
        self.work.keep(item, made)
        return True
