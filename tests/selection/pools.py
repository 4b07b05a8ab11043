"""Pools of images that people may be asked about."""

from __future__ import annotations

import numpy as np

from pipeline.selection.baselines import Pool
from tests.selection.evidence import selection_of


def make_pool(images, *, embeddings=None, order=None, seed=0, cycle=0, budget=3):
    """A pool.

    Args:
        images: What is not ordinary about each proposal, by image; those of an image lie apart.
        embeddings: float[K, D], in the order of the images; by default all are different.
        order: How the rows are shuffled.
    """
    ids = list(images)
    vectors = np.eye(max(1, len(ids)))[: len(ids)] if embeddings is None else np.asarray(embeddings, dtype=np.float64)
    selection = selection_of(
        *(
            {"image_id": name, "x1": 60.0 * place, "x2": 60.0 * place + 40.0, **row}
            for name, rows in images.items()
            for place, row in enumerate(rows)
        )
    )
    return Pool(
        selection if order is None else selection.take(order),
        ids,
        lambda some: vectors[[ids.index(image_id) for image_id in some]],
        seed,
        cycle,
        budget,
    )
