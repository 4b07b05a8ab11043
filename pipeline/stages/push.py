"""Asking people about the images that wait."""

from __future__ import annotations

import time
from dataclasses import replace

from pipeline.artefacts import PushRun
from pipeline.cycle import Cycle
from pipeline.labeling.backend import LabelingBackend
from pipeline.labeling.examples import renew_examples
from pipeline.progress import Progress, silent
from pipeline.selection.tasks import last_queued, queued_tasks
from pipeline.selection.waiting import queue_begun, unasked_images
from pipeline.settings import Settings


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
    cycle, began = last_queued(settings.workspace), time.monotonic()
    pushed = replace(_push(cycle, backend, progress), seconds=round(time.monotonic() - began, 3))
    known = cycle.find(PushRun)
    if known is None or known.failed:
        cycle.write(pushed)
    return pushed


def _push(cycle: Cycle, backend: LabelingBackend | None, progress: Progress) -> PushRun:
    if backend is None:
        return PushRun()
    renew_examples(cycle)
    result = backend.push(queued_tasks(cycle), progress, unasked_images(cycle.store))
    queue_begun(cycle, result.begun)
    return result.counted()
