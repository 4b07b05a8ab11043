"""Evolution of paths within a limit (arXiv 1904.00420, algorithm 1): mutants and crosses of the best ones so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.detector.search.space import crossed, mutated, random_path
from pipeline.errors import SettingsError
from pipeline.progress import Progress, silent
from pipeline.seeds import numpy_generator
from pipeline.settings import PathSettings

Measure = Callable[[PathSettings], float]
MUTATION = 0.1
"""How likely a depth or width is drawn anew; as in the paper."""
_ATTEMPTS = 1000
"""At a path that is new and within the limit, before there is thought to be none."""


@dataclass(frozen=True)
class Evolution:
    """How long and wide a search is.

    Attributes:
        limit: Most that a path may cost.
        population: Paths of a generation.
        generations: The first is drawn at random.
        parents: The best paths so far, from which the next generation is made.
    """

    limit: float
    population: int = 16
    generations: int = 5
    parents: int = 8


def evolve(
    fitness: Measure, cost: Measure, settings: Evolution, seed: int, progress: Progress = silent
) -> dict[PathSettings, float]:
    """Search for the path of the highest fitness within a limit.

    Args:
        fitness: Higher = better; asked once per path.
        cost: Of a path, in the unit of the limit.
        settings: The search.
        seed: Drives it.
        progress: Called after every path.

    Returns:
        Fitness of every path that was looked at, best first.

    Raises:
        SettingsError: No path within the limit was found.
    """
    rng, known = numpy_generator(seed, "evolution"), dict[PathSettings, float]()
    for _ in range(settings.generations):
        for path in _generation(list(known), cost, settings, rng):
            known[path] = fitness(path)
            progress("paths", len(known), settings.population * settings.generations)
        known = dict(sorted(known.items(), key=lambda row: -row[1]))
    if not known:
        raise SettingsError(f"Expected a limit that some path keeps, got {settings.limit:g}; set it higher")
    return known


def random_within(
    cost: Measure, bounds: tuple[float, float], count: int, rng: np.random.Generator
) -> list[PathSettings]:
    """Draw different paths whose cost lies between two bounds, both included; fewer where no more are found."""
    found: list[PathSettings] = []
    for _ in range(count * _ATTEMPTS):
        if len(found) == count:
            break
        path = random_path(rng)
        if path not in found and bounds[0] <= cost(path) <= bounds[1]:
            found.append(path)
    return found


def _generation(
    known: list[PathSettings], cost: Measure, settings: Evolution, rng: np.random.Generator
) -> list[PathSettings]:
    """New paths within the limit: half of them mutants, half crosses, random ones where these are too few."""
    parents, half = known[: settings.parents], settings.population // 2

    def parent() -> PathSettings:
        return parents[int(rng.integers(len(parents)))]

    makers: list[tuple[int, Callable[[], PathSettings]]] = [(settings.population, lambda: random_path(rng))]
    if parents:
        makers = [
            (half, lambda: mutated(parent(), MUTATION, rng)),
            (2 * half, lambda: crossed(parent(), parent(), rng)),
            *makers,
        ]
    seen, made = set(known), list[PathSettings]()
    for until, make in makers:
        for _ in range(_ATTEMPTS):
            if len(made) == until:
                break
            path = make()
            if path not in seen and cost(path) <= settings.limit:
                seen.add(path)
                made.append(path)
    return made
