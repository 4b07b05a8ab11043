"""Push between cycles: what the last selection queued reaches the annotators, however often it was tried."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows.progress import run_page_progress
from flows.tasks import RETRIED, label_studio_token
from pipeline.settings import load_settings
from pipeline.stages.backend import labeling_backend
from pipeline.stages.cycle import only_one
from pipeline.stages.push import push_now


@task(name="push now", **RETRIED)
def push_now_task(config: str, overrides: list[str]) -> dict[str, Any]:
    """Push the tasks that are not there yet."""
    settings = load_settings(config, overrides)
    backend = labeling_backend(settings, label_studio_token(settings))
    with only_one(settings):
        return push_now(settings, backend, run_page_progress())


@flow(name="push", description=__doc__)
def push(config: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """Ask people about the images that wait.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.

    Returns:
        What was pushed, and for which cycle.
    """
    return push_now_task(config, overrides or [])
