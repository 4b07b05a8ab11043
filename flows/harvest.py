"""Harvest between cycles: what people answered becomes a dataset version sooner."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows.progress import run_page_progress
from flows.tasks import RETRIED, label_studio_token
from pipeline.settings import load_settings
from pipeline.stages.backend import labeling_backend
from pipeline.stages.cycle import only_one
from pipeline.stages.harvest import harvest_now


@task(name="harvest now", **RETRIED)
def harvest_now_task(config: str, overrides: list[str], full: bool) -> dict[str, Any]:
    """Collect and commit answers that are new."""
    settings = load_settings(config, overrides)
    backend = labeling_backend(settings, label_studio_token(settings))
    with only_one(settings):
        return harvest_now(settings, backend, None, run_page_progress(), full)


@flow(name="harvest", description=__doc__)
def harvest(config: str, overrides: list[str] | None = None, full: bool = False) -> dict[str, Any]:
    """Harvest what was answered since the last time.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.
        full: Read every answer again, which finds deleted ones, instead of new ones alone.

    Returns:
        What was taken in.
    """
    return harvest_now_task(config, overrides or [], full)
