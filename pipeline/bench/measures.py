"""Small measures that several benchmarks share."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray


def correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Pearson's correlation; None where one of them does not vary."""
    return float(np.corrcoef(first, second)[0, 1]) if first.std() and second.std() else None


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of what was measured; None where nothing was."""
    measured = [value for value in values if value is not None]
    return float(np.mean(measured)) if measured else None


class Stopwatch:
    """Measures the seconds of named steps; a step may run several times.

    Args:
        clock: Tells the time in seconds; `time.process_time` counts only what this process computes.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Add the time of a block."""
        began = self._clock()
        yield
        self._seconds[step].append(self._clock() - began)

    def reset(self) -> None:
        """Forget all times so far."""
        self._seconds.clear()

    def total(self, step: str) -> float:
        """Sum over all runs of a step."""
        return sum(self._seconds[step])

    def median(self, step: str) -> float:
        """Median over all runs of a step."""
        return float(np.median(self._seconds[step]))
