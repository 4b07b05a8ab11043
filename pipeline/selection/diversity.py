"""Diversity: among the most valuable images, those that differ most from each other."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus

from pipeline.seeds import derive_seed

_GREEDY_COUNT = 500
_DRAWN_AT_ONCE = 64
_SAME_PLACE = 1e-9
"""Squared distance beneath what rounding leaves."""


def image_embeddings(proposals: pa.Table, weights: NDArray[np.float64], image_ids: list[str]) -> NDArray[np.float64]:
    """Embed images by what is seen in them.

    Args:
        proposals: Columns `image_id` and `embedding`.
        weights: float[N], how much each proposal counts.
        image_ids: Which images, in order.

    Returns:
        float[K, D]: the weighted mean of each image's box embeddings; zeros for an image without proposals.
    """
    vectors = np.stack(proposals["embedding"].to_numpy(zero_copy_only=False)) if len(proposals) else np.zeros((0, 1))
    row = pc.index_in(proposals["image_id"], value_set=pa.array(image_ids, pa.string()))
    known = row.is_valid().to_numpy(zero_copy_only=False)
    index = row.fill_null(0).to_numpy()[known]
    total = np.zeros((len(image_ids), vectors.shape[1]))
    np.add.at(total, index, vectors[known] * weights[known, None])
    mass = np.bincount(index, weights=weights[known], minlength=len(image_ids))
    return np.asarray(total / np.maximum(mass, 1e-9)[:, None])


def diverse(embeddings: NDArray[np.float64], values: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int64]:
    """Draw a diverse set by k-means++ seeding, likelier where the value is higher (as PPAL, CVPR 2024).

    Args:
        embeddings: float[K, D].
        values: float[K], 0 and up.
        count: How many.
        seed: The settings' seed.

    Returns:
        int[count], indices, ascending; all of them where `count` is K or more.
    """
    if not 0 < count < len(embeddings):
        return np.arange(min(count, len(embeddings)))
    best_first = np.argsort(-values, kind="stable")
    _, best_of_each = np.unique(embeddings[best_first], axis=0, return_index=True)
    if len(best_of_each) <= count:  # one of each kind, then repeated kinds by value
        repeated = np.delete(best_first, best_of_each)[: count - len(best_of_each)]
        return np.sort(np.concatenate([best_first[best_of_each], repeated]))
    state = derive_seed(seed, "diversity") % 2**32
    if count > _GREEDY_COUNT:
        return np.sort(_plain_seeding(embeddings, values + 1e-6, count, np.random.default_rng(state)))
    _, chosen = kmeans_plusplus(embeddings, count, sample_weight=values + 1e-6, random_state=state)
    return np.sort(np.asarray(chosen, dtype=np.int64))


def _plain_seeding(
    embeddings: NDArray[np.float64], weights: NDArray[np.float64], count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Seed as k-means++ (Arthur and Vassilvitskii 2007) does, many rows at a time.

    scikit-learn tries several rows for each that it takes, one after the other: 10,000 of 50,000 take minutes. Here
    rows are drawn by the distances of a moment ago, and one is taken with the probability to which its distance has
    shrunk by those taken since: that draws exactly as one by one does.
    """
    rows = embeddings.astype(np.float32)
    squares = np.einsum("ij,ij->i", rows, rows)
    chosen = [int(random.choice(len(rows), p=weights / weights.sum()))]
    apart = _apart(rows, squares, np.array(chosen)).astype(np.float64)[:, 0]
    while len(chosen) < count:
        chances = weights * apart
        drawn = random.choice(len(rows), size=_DRAWN_AT_ONCE, p=chances / chances.sum())
        between, kept = _apart(rows, squares, drawn), list[int]()
        for place, row in enumerate(drawn.tolist()):
            now = min([apart[row], *between[row, kept]])
            if (
                random.random() * apart[row] < now
                and row not in chosen[len(chosen) - len(kept) :]
                and len(chosen) < count
            ):
                kept.append(place)
                chosen.append(row)
        # Rows that lie where one was taken are left over for the end, not ruled out.
        apart = np.maximum(np.minimum(apart, between[:, kept].min(axis=1)), _SAME_PLACE)
        apart[chosen] = 0
    return np.array(chosen, dtype=np.int64)


def _apart(rows: NDArray[np.float32], squares: NDArray[np.float32], others: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32[K, M]: squared distances between all rows and some."""
    found = squares[:, None] + squares[others] - 2 * (rows @ rows[others].T)
    return np.maximum(found, 0, out=found)
