"""Mining parts of the pool on a Dask cluster: what comes out of a part does not depend on who mines it, or when.

Images of the pool are ordered by the SHA-256 of their files, so that a part is a range of a stable hash.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from pipeline.errors import RemoteError
from pipeline.mining.dask_cluster import Cluster, WorkerLost, connected, outcome
from pipeline.mining.dask_worker import Preparation, forget, mine_part
from pipeline.mining.parts import Part, PartedMining, Work
from pipeline.progress import Progress

if TYPE_CHECKING:
    from pipeline.mining.dask_cluster import Call

LOG = logging.getLogger(__name__)
PARTS_PER_WORKER = 3
"""One is being mined and others wait beside it, so that a large pool floods neither scheduler nor memory."""


@dataclass(frozen=True)
class OnDask:
    """Hands parts out to a cluster; those of a worker that is lost are handed out again.

    Attributes:
        prepare: What each worker begins with.
        scheduler: Address of a cluster; None starts one on this machine.
        workers: Processes of a cluster that is started here.
    """

    prepare: Callable[[], PartedMining]
    scheduler: str | None
    workers: int

    def __call__(self, work: Work, progress: Progress) -> None:
        """Mine what is missing, round by round.

        Raises:
            RemoteError: There is no cluster, its workers cannot mine, or a whole round lost all of its parts.
        """
        if not work.missing:
            return
        with connected(self.scheduler, self.workers) as cluster:
            while missing := work.missing:
                lost = _Round(cluster, Preparation(uuid4().hex, self.prepare), work, progress).mine(missing)
                if len(lost) == len(missing):
                    raise RemoteError(
                        f"Dask lost several workers with each of {len(lost)} parts of the pool. See the workers' logs; "
                        "where memory ran out, lower mining.batch_size, which may change at any time. Then run again."
                    )
                if lost:
                    LOG.warning("Dask lost workers with %d parts of the pool; they are mined again", len(lost))
            cluster.everywhere(forget)


@dataclass(frozen=True)
class _Round:
    """One try at parts."""

    cluster: Cluster
    preparation: Preparation
    work: Work
    progress: Progress

    def mine(self, missing: Sequence[Part]) -> list[Part]:
        """Mine parts and keep them here; returns those that were lost with several workers each."""
        waiting, running, lost = deque(missing), dict["Call", Part](), list[Part]()
        left, total = (sum(len(part.refs) for part in parts) for parts in (missing, self.work.parts))
        self.progress("mining", total - left, total)
        while waiting or running:
            most = PARTS_PER_WORKER * max(1, self.cluster.workers)
            while waiting and len(running) < most:
                part = waiting.popleft()
                running[self.cluster.submit(mine_part, self.preparation, part, self.work.prefix)] = part
            for call in self.cluster.finished(list(running)):
                part = running.pop(call)
                if self._keep(part, call):
                    left -= len(part.refs)
                    self.progress("mining", total - left, total)
                else:
                    lost.append(part)
        return lost

    def _keep(self, part: Part, call: Call) -> bool:
        try:
            mined = outcome(call)
        except WorkerLost:
            return False
        except RemoteError as fault:
            place = self.work.mining.folder.uri
            raise RemoteError(
                f"{fault} Each worker needs this release of crosscheck, and must reach {place} and the images."
            ) from fault
        self.work.mining.keep(part, mined)
        return True
