"""Push between cycles: what the last selection queued reaches the annotators, however often it was tried."""

from __future__ import annotations

from dataclasses import asdict

from prefect import flow

from flows.progress import run_page_progress
from flows.tasks import annotators
from flows.waiting import unattended
from pipeline.cycle import only_one
from pipeline.settings import load_settings


@flow(name="push", description=__doc__)
@unattended
def push(config: str, overrides: list[str] | None = None, wait_s: float = 0.0) -> dict[str, object]:
    """Ask people about the images that wait.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.
        wait_s: How long to wait for another run in the workspace; 0 refuses at once.

    Returns:
        What was pushed, see `PushRun`.
    """
    from pipeline.stages.push import push_now

    settings = load_settings(config, overrides or [])
    with only_one(settings, wait_s, "push"):
        return asdict(push_now(settings, annotators(settings), run_page_progress()))
