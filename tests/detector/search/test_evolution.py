from __future__ import annotations

import numpy as np
import pytest

from pipeline.detector.search.evolution import Evolution, evolve, random_within
from pipeline.detector.search.space import WHOLE, WIDTHS, crossed, mutated, random_path
from pipeline.errors import SettingsError
from pipeline.settings import PathSettings
from pipeline.settings.detector import STAGE_BLOCKS

SMALLEST = PathSettings(depths=(1,) * 6, widths=(0.5,) * 6)


def cost(path):
    """Blocks times their widths, as a share of those of the whole body."""
    return sum(depth * width for depth, width in zip(path.depths, path.widths, strict=True)) / sum(STAGE_BLOCKS)


def genes(path):
    return (*path.depths, *path.widths)


def test_drawn_paths_are_of_the_space():
    rng = np.random.default_rng(0)
    drawn = [random_path(rng) for _ in range(300)]
    assert {path.depths[4] for path in drawn} == {1, 2, 3, 4}
    assert {width for path in drawn for width in path.widths} == set(WIDTHS)


def test_mutants_differ_where_they_were_drawn_anew():
    rng = np.random.default_rng(0)
    assert mutated(WHOLE, 0.0, rng) == WHOLE
    mutants = [mutated(WHOLE, 0.1, rng) for _ in range(300)]
    changed = np.mean([np.not_equal(genes(WHOLE), genes(path)).mean() for path in mutants])
    assert 0.02 < changed < 0.1


def test_crosses_have_each_gene_of_a_parent():
    rng = np.random.default_rng(0)
    parents = list(zip(genes(WHOLE), genes(SMALLEST), strict=True))
    crosses = [crossed(WHOLE, SMALLEST, rng) for _ in range(50)]
    assert len(set(crosses)) > 20
    assert all(gene in pair for path in crosses for gene, pair in zip(genes(path), parents, strict=True))


def test_no_path_is_over_the_limit_and_none_is_asked_twice():
    asked = []

    def fitness(path):
        asked.append(path)
        return cost(path)

    known = evolve(fitness, cost, Evolution(0.5, population=10, generations=4), seed=0)
    assert len(asked) == len(set(asked)) == len(known) == 40
    assert max(map(cost, known)) <= 0.5
    assert list(known.values()) == sorted(known.values(), reverse=True)


def test_the_seed_decides():
    first, again, other = (evolve(cost, cost, Evolution(0.6), seed) for seed in (1, 1, 2))
    assert list(first) == list(again)
    assert set(first) != set(other)


def test_the_optimum_is_found():
    """Each gene has a best value, and all of them together keep the limit."""
    best = PathSettings(depths=(1, 2, 1, 2, 3, 1), widths=(0.5, 1.0, 0.75, 0.5, 0.75, 1.0))

    def fitness(path):
        return -sum(abs(one - other) for one, other in zip(genes(path), genes(best), strict=True))

    plan = Evolution(0.6, population=20, generations=40)
    assert cost(best) <= plan.limit
    assert next(iter(evolve(fitness, cost, plan, seed=0))) == best


def test_a_space_with_little_within_the_limit_is_gone_through():
    limit = cost(SMALLEST) + 0.25 / sum(STAGE_BLOCKS)
    known = evolve(cost, cost, Evolution(limit, population=4, generations=30), seed=0)
    assert all(cost(path) <= limit for path in known)


def test_a_limit_that_no_path_keeps_is_refused():
    with pytest.raises(SettingsError, match="Expected a limit that some path keeps"):
        evolve(cost, cost, Evolution(0.01), seed=0)


def test_random_paths_lie_between_bounds():
    found = random_within(cost, (0.5, 0.52), 5, np.random.default_rng(0))
    assert len(set(found)) == 5
    assert all(0.5 <= cost(path) <= 0.52 for path in found)
    assert random_within(cost, (2.0, 3.0), 1, np.random.default_rng(0)) == []
