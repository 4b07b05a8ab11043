"""Labels that a model wrote, taken back."""

from __future__ import annotations

from dataclasses import replace

from pipeline.dataset.store import SampleStore
from pipeline.records import State


def take_back_labels(store: SampleStore, model_id: str, settings_digest: str) -> int:
    """Send the images that a model labelled back to the pool, as a new version where there are any.

    Args:
        store: The sample table, or where none is yet.
        model_id: Which model.
        settings_digest: Settings in use.

    Returns:
        How many images.
    """
    labeled = store.samples(states=[State.PSEUDO]) if store.exists() else []
    freed = [
        replace(sample, state=State.POOL, boxes=(), ignore=())
        for sample in labeled
        if any(box.model_id == model_id for box in sample.boxes)
    ]
    if freed:
        store.commit(
            freed,
            reason=f"model {model_id} withdrawn: {len(freed)} images back to the pool",
            key=f"rollback from {model_id} at version {store.version()}",
            settings_digest=settings_digest,
        )
    return len(freed)
