"""Asking people about the images that wait."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.artefacts import PushRun
from pipeline.cycle import Cycle, load_cycle
from pipeline.errors import ArtefactError
from pipeline.labeling.backend import LabelingBackend
from pipeline.progress import Progress, silent
from pipeline.records import Sample, Split, State
from pipeline.selection.tasks import QUEUE, queued_tasks
from pipeline.settings import Settings
from pipeline.workspace import Workspace

UNASKED = (State.POOL, State.PSEUDO, State.QUARANTINED)
"""Images of the pool that nobody need be asked about."""


def push(cycle: Cycle, backend: LabelingBackend | None, progress: Progress = silent) -> PushRun:
    """Push every image that waits for an answer, and take back questions that need no answer any more.

    Args:
        cycle: The cycle.
        backend: Who answers; None pushes nothing.
        progress: Called while it goes on.

    Raises:
        RemoteError: The service is down or refuses.
    """
    return cycle.once(PushRun, lambda: _push(cycle, backend, progress))


def push_failed(cycle: Cycle, reason: str) -> PushRun:
    """Note that nothing could be pushed; the images wait, and the next cycle pushes them."""
    return cycle.once(PushRun, lambda: PushRun(failed=reason))


def push_now(settings: Settings, backend: LabelingBackend | None, progress: Progress = silent) -> PushRun:
    """Push what the last selection queued, whether its cycle has ended or not; pushing again adds nothing.

    The outcome becomes the cycle's where that has not pushed, or could not.

    Args:
        settings: The project.
        backend: Who answers; None pushes nothing.
        progress: Called while it goes on.

    Raises:
        ArtefactError: Nothing was ever selected.
        RemoteError: The service is down or refuses.
    """
    workspace = Workspace(settings.workspace)
    numbers = [number for number in workspace.cycles() if workspace.cycle(number).exists(QUEUE)]
    if not numbers:
        raise ArtefactError(f"Expected a queue in {workspace.uri}, found none. Run `crosscheck mine` first.")
    cycle, began = load_cycle(settings.workspace, max(numbers)), time.monotonic()
    pushed = replace(_push(cycle, backend, progress), seconds=round(time.monotonic() - began, 3))
    known = cycle.find(PushRun)
    if known is None or known.failed:
        cycle.write(pushed)
    return pushed


def _push(cycle: Cycle, backend: LabelingBackend | None, progress: Progress) -> PushRun:
    if backend is None:
        return PushRun()
    unasked = cycle.store.table(columns=["image_id"], states=UNASKED, splits=[Split.POOL])["image_id"].to_pylist()
    result = backend.push(queued_tasks(cycle), progress, frozenset(unasked))
    _queue_begun(cycle, result.begun)
    return result.counted()


def _queue_begun(cycle: Cycle, image_ids: Sequence[str]) -> None:
    """Have images wait whose answer somebody has begun, although they would not be asked about now."""
    samples: list[Sample] = [
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
