"""What a worker of a Dask cluster does: it mines one part at a time, with a detector that it loads once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from pipeline.mining.miner import Mined
from pipeline.mining.parts import Part, PartedMining

_ALONE = threading.Lock()
"""A worker may have many threads; its detector is used by one, as in the other runners."""


@dataclass(frozen=True)
class Preparation:
    """How a worker gets its detector.

    Attributes:
        run: Tells this mining from others, also from an earlier one of the same cycle.
        prepare: Loads detector and hosts; can be pickled.
    """

    run: str
    prepare: Callable[[], PartedMining] = field(compare=False)


def mine_part(preparation: Preparation, part: Part, prefix: str) -> Mined:
    """Mine one part. Nothing is written here, so that a part whose run has died cannot be found by a later one."""
    with _ALONE:
        return _prepared(preparation).mined(part, prefix)


def forget() -> None:
    """Let go of the detector."""
    _prepared.cache_clear()


def dask_setup(_worker: object) -> None:
    """Called by Dask in workers that crosscheck starts: of Ctrl-C the first process tells, and ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@lru_cache(maxsize=1)
def _prepared(preparation: Preparation) -> PartedMining:
    return preparation.prepare()
