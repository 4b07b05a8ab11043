"""What a worker of a Dask cluster does: one item at a time, with a detector that it loads once."""

from __future__ import annotations

import platform
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from pipeline.dataset.code_version import code_version

_ALONE = threading.Lock()
"""A worker may have many threads; its detector is used by one, as in the other runners."""


@dataclass(frozen=True)
class Preparation:
    """How a worker gets what does items.

    Attributes:
        run: Tells this work from others, also from an earlier one of the same cycle.
        prepare: Loads what does them; can be pickled.
    """

    run: str
    prepare: Callable[[], Callable[[Any], Any]] = field(compare=False)


def do_item(preparation: Preparation, item: Any) -> Any:
    """Do one item. What it gives is kept by whoever asked: where that one has died, a later run finds nothing of it."""
    with _ALONE:
        return _prepared(preparation)(item)


def forget() -> None:
    """Let go of the detector."""
    _prepared.cache_clear()


@dataclass(frozen=True)
class Installed:
    """Versions that must be the same everywhere, for the same bytes or for any at all.

    Attributes:
        python: Without its last number.
        crosscheck: With the commit where it is a checkout.
        torch: With what it was built for.
    """

    python: str
    crosscheck: str
    torch: str

    def __str__(self) -> str:
        """For people."""
        return f"Python {self.python}, crosscheck {self.crosscheck}, torch {self.torch}"


def installed() -> Installed:
    """What this process runs with."""
    return Installed(".".join(platform.python_version_tuple()[:2]), code_version(), version("torch"))


def dask_setup(_worker: object) -> None:
    """Called by Dask in workers that crosscheck starts: of Ctrl-C the first process tells, and ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@lru_cache(maxsize=1)
def _prepared(preparation: Preparation) -> Callable[[Any], Any]:
    return preparation.prepare()
