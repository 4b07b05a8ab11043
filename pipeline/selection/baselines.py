"""Other ways to choose images for people, to be measured beside ours; higher value = asked sooner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.mining.reference import HOSTS, PASSES_AT, PROPOSAL_SCORE, gamma
from pipeline.seeds import numpy_generator
from pipeline.selection.cald import cald
from pipeline.selection.pool import Pool, Values
from pipeline.selection.ppal import ppal


def random_values(pool: Pool) -> Values:
    """A random order: what every strategy has to beat."""
    return numpy_generator(pool.query_seed, "random_query", pool.cycle).random(len(pool.image_ids))


def least_confidence(pool: Pool) -> Values:
    """Mean of 1 - score over proposals (arXiv 1801.05124 for detection)."""
    return _mean_over_images(pool, 1 - pool.column("score"))


def margin(pool: Pool) -> Values:
    """Mean closeness of the two best classes."""
    return _mean_over_images(pool, 1 - (pool.column("score") - pool.column("runner_up")))


def entropy(pool: Pool) -> Values:
    """Mean entropy of the class scores."""
    return _mean_over_images(pool, pool.column("entropy"))


def core_set(pool: Pool) -> Values:
    """k-center greedy on image embeddings (arXiv 1708.00489): the farthest from all chosen comes next."""
    count = len(pool.image_ids)
    values = np.zeros(count)
    if count == 0:
        return values
    embeddings = pool.embed(pool.image_ids)
    nearest = np.linalg.norm(embeddings - embeddings.mean(0), axis=1)
    for rank in range(min(pool.budget, count)):
        chosen = int(np.argmax(np.where(values > 0, -np.inf, nearest)))
        values[chosen] = count - rank
        nearest = np.minimum(nearest, np.linalg.norm(embeddings - embeddings[chosen], axis=1))
    return values


def ssm(pool: Pool) -> Values:
    """The published rule: a random half of the images that fail its gate or its cross-image validation."""
    likely = pool.column("score") >= PROPOSAL_SCORE
    score = pool.column("score").clip(1e-12, 1 - 1e-12)
    # One-stage detectors score classes one by one; the gate sees the best class against the rest.
    loss = -2 * np.log(np.maximum(score, 1 - score))
    failed = (loss > gamma(pool.cycle)) | (pool.column("hit_fraction") < PASSES_AT / HOSTS)
    failures, seen = pool.by_image(failed.astype(np.float64), likely)
    random = numpy_generator(pool.query_seed, "ssm_query", pool.cycle).random(len(pool.image_ids))
    return np.where((failures > 0) | (seen == 0), 1.0, 0.0) + random


def _mean_over_images(pool: Pool, values: Values) -> Values:
    sums, counts = pool.by_image(values)
    return np.asarray(sums / np.maximum(counts, 1))


BASELINES: dict[str, Callable[[Pool], Values]] = {
    "random": random_values,
    "least_confidence": least_confidence,
    "margin": margin,
    "entropy": entropy,
    "core_set": core_set,
    "ssm": ssm,
    "cald": cald,
    "ppal": ppal,
}
"""By the name that `selection.query.strategy` gives them."""
