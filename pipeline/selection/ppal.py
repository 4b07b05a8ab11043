"""PPAL (arXiv 2211.11612): uncertain boxes of difficult classes, then images whose objects are unlike each other.

What differs from the paper: the quality of a class is measured on the labelled images when training has ended, not
averaged while it goes on; boxes are described by the embeddings that the triplet loss has trained.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.seeds import numpy_generator
from pipeline.selection.pool import Pool, Values

ALPHA, BETA = 0.3, 0.2
"""How steeply and how far the weight of a class rises with its difficulty."""
CANDIDATES = 4
"""Images among which diversity is sought, per image that is asked about."""
_ROUNDS = 100


def ppal(pool: Pool) -> Values:
    """Medoids of the most uncertain images, by the likeness of their objects, class by class.

    Raises:
        ValueError: The pool cannot give boxes.
    """
    values = np.zeros(len(pool.image_ids))
    if pool.on_demand is None:
        raise ValueError("Expected a pool that can give boxes with embeddings, which PPAL needs.")
    if not len(values):
        return values
    candidates = np.argsort(-_uncertainty(pool), kind="stable")[: CANDIDATES * pool.budget]
    likeness = _likeness(pool, [pool.image_ids[index] for index in candidates])
    chosen = candidates[_medoids(1 - likeness, pool.budget, pool)]
    values[chosen] = np.arange(len(chosen), 0, -1)
    return values


def class_weight(quality: float) -> float:
    """From 1 for a class that is mastered to `1 + BETA` for one that is not (equation 3)."""
    return 1 + ALPHA * BETA * float(np.log(1 + (np.exp(1 / ALPHA) - 1) * (1 - quality)))


def _uncertainty(pool: Pool) -> Values:
    assert pool.on_demand is not None, "the caller has seen to it"
    weights = {label: class_weight(quality) for label, quality in pool.on_demand.quality().items()}
    hardest = class_weight(0.0)
    weight = np.array([weights.get(label, hardest) for label in pool.selection["label"].to_pylist()], dtype=np.float64)
    return pool.by_image(pool.column("entropy") * weight)[0]


def _likeness(pool: Pool, image_ids: list[str]) -> Values:
    """float[K, K]: how alike the objects of two images are, category-conditioned matching similarity (equation 6)."""
    assert pool.on_demand is not None, "the caller has seen to it"
    boxes = pool.on_demand.boxes(image_ids)
    image = pc.index_in(boxes["image_id"], value_set=pa.array(image_ids, pa.string())).to_numpy()
    vectors = np.stack(boxes["embedding"].to_numpy(zero_copy_only=False)) if len(boxes) else np.zeros((0, 1))
    names = boxes["label"].to_numpy(zero_copy_only=False)
    alike = np.where(names[:, None] == names[None, :], vectors @ vectors.T, 0.0)
    scores = boxes["score"].to_numpy().astype(np.float64)
    count = len(image_ids)
    # The best match of every box in every image; 0 where that holds none of its class.
    best = np.zeros((len(boxes), count))
    for other in range(count):
        inside = image == other
        if inside.any():
            best[:, other] = alike[:, inside].max(1)
    one_way = np.zeros((count, count))
    np.add.at(one_way, image, best * scores[:, None])
    one_way /= np.maximum(np.bincount(image, weights=scores, minlength=count), 1e-9)[:, None]
    return np.asarray((one_way + one_way.T) / 2)


def _medoids(distance: Values, count: int, pool: Pool) -> NDArray[np.intp]:
    """k-medoids from a start that is spread by k-center greedy."""
    if count >= len(distance):
        return np.arange(len(distance))
    first = int(numpy_generator(pool.query_seed, "ppal", pool.cycle).integers(len(distance)))
    medoids = np.array(_spread(distance, first, count))
    for _ in range(_ROUNDS):
        nearest = distance[:, medoids].argmin(1)
        nearest[medoids] = np.arange(count)  # equal images would leave a cluster empty
        clusters = [np.flatnonzero(nearest == cluster) for cluster in range(count)]
        moved = np.array([own[distance[np.ix_(own, own)].sum(1).argmin()] for own in clusters])
        if (moved == medoids).all():
            break
        medoids = moved
    return medoids


def _spread(distance: Values, first: int, count: int) -> list[int]:
    chosen, nearest = [first], distance[:, first].copy()
    while len(chosen) < count:
        nearest[chosen] = -np.inf
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distance[:, chosen[-1]])
    return chosen
