"""Counting what mining costs while it runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.artefacts import MiningCost


class CostMeter:
    """Counts windows and passes, and the time of each step; see `MiningCost` for the names."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()

    def count(self, **numbers: int) -> None:
        """Add to counts, by the names of `MiningCost`."""
        self._counts.update(numbers)

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Add the time of a block to a step."""
        began = time.perf_counter()
        yield
        self._seconds[step] += time.perf_counter() - began  # type: ignore[assignment]

    def total(self) -> MiningCost:
        """Everything so far."""
        return MiningCost(**self._counts, seconds=dict(self._seconds))
