"""Which images of the pool wait for people, besides those that a selection queued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import Split, State

_UNASKED = (State.POOL, State.PSEUDO, State.QUARANTINED)


def unasked_images(store: SampleStore) -> frozenset[str]:
    """Images of the pool that nobody need be asked about."""
    rows = store.table(columns=["image_id"], states=_UNASKED, splits=[Split.POOL])
    return frozenset(rows["image_id"].to_pylist())


def queue_begun(cycle: Cycle, image_ids: Sequence[str]) -> None:
    """Have images wait whose answer somebody has begun, although they would not be asked about now."""
    samples = [
        replace(sample, state=State.QUEUED, boxes=(), ignore=(), cycle=cycle.number)
        for sample in cycle.store.by_ids(image_ids)
        if sample.state in {State.POOL, State.PSEUDO}
    ]
    if not samples:
        return
    cycle.store.commit(
        samples,
        reason=f"cycle {cycle.number}: {len(samples)} answers begun",
        key=f"cycle {cycle.number} push {datetime.now(UTC).isoformat()}",
        cycle=cycle.number,
        settings_digest=cycle.settings.digest(),
    )
