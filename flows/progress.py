"""Where the progress of a stage is shown: on the run's page in Prefect, and wherever the caller listens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.page import Page
from pipeline.progress import Progress, silent

_listener: ContextVar[Progress] = ContextVar("listener", default=silent)
SECONDS_BETWEEN_UPDATES = 5.0


@contextmanager
def listening(listener: Progress) -> Iterator[None]:
    """Show the progress of every stage inside the block to a listener as well, such as a bar in a terminal."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def run_page_progress() -> Progress:
    """Progress for one stage: a progress artefact for each thing it does, updated every few seconds.

    Returns:
        The callback, for use inside a task.
    """
    artefacts: dict[str, Any] = {}
    shown: dict[str, float] = {}
    page = Page()
    listener = _listener.get()

    def progress(what: str, done: int, total: int) -> None:
        listener(what, done, total)
        share = 100.0 * done / max(1, total)
        now = time.monotonic()
        if artefacts.get(what) is None:
            artefacts[what] = page.show(partial(create_progress_artifact, share, key=_key(what), description=what))
        elif done >= total or now - shown[what] >= SECONDS_BETWEEN_UPDATES:
            page.show(partial(update_progress_artifact, artefacts[what], share))
        else:
            return
        shown[what] = now

    return progress


def _key(what: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in what.lower())
