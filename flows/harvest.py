"""Harvest between cycles: what people answered becomes a dataset version sooner."""

from __future__ import annotations

from dataclasses import asdict

from prefect import flow

from flows.progress import run_page_progress
from flows.tasks import annotators
from flows.waiting import unattended
from pipeline.cycle import only_one
from pipeline.settings import load_settings


@flow(name="harvest", description=__doc__)
@unattended
def harvest(
    config: str, overrides: list[str] | None = None, full: bool = False, wait_s: float = 0.0
) -> dict[str, object]:
    """Harvest what was answered since the last time.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.
        full: Read every answer again, which finds deleted ones, instead of new ones alone.
        wait_s: How long to wait for another run in the workspace; 0 refuses at once.

    Returns:
        What was taken in, see `HarvestSummary`.
    """
    from pipeline.labeling.feedback.intake import Intake
    from pipeline.stages.harvest import harvest_now
    from pipeline.stages.review_harvest import harvest_reviews

    settings = load_settings(config, overrides or [])
    with only_one(settings, wait_s, "full harvest" if full else "harvest"):
        backend = annotators(settings)
        harvest_reviews(settings, backend)
        return asdict(harvest_now(Intake(settings, backend), run_page_progress(), full))
