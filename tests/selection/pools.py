"""Pools of images that people may be asked about."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.records import of_images
from pipeline.selection.pool import OnDemand, Pool, Views
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
        drawn={"bolt": 2.0, "nut": 1.0},
        on_demand=_on_demand(selection),
    )


def _on_demand(selection):
    """Embeddings by score, more views by entropy, and a class that is harder than the other."""

    def boxes(image_ids):
        rows = selection.filter(of_images(image_ids)).select(["image_id", "label", "score"])
        angles = np.pi * rows["score"].to_numpy().astype(np.float64) / 2
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return rows.append_column("embedding", pa.array(list(vectors), pa.list_(pa.float64())))

    def views(image_ids):
        looked = Pool(selection, image_ids, lambda _: np.zeros((0, 1)), 0, 0, 0)
        unsure, _ = looked.by_image(looked.column("entropy"))
        classes = [looked.by_image(looked.column("score"), looked_for(name))[0] for name in ("bolt", "nut")]
        return Views(unsure, np.stack(classes, axis=1))

    def looked_for(name):
        return np.array([label == name for label in selection["label"].to_pylist()], dtype=bool)

    return OnDemand(boxes, views, lambda: {"bolt": 0.9, "nut": 0.5})
