"""Answers to reviews taken in, as a version where anything changed."""

from __future__ import annotations

from pipeline.artefacts import CycleHarvest, HarvestSummary
from pipeline.cycle import Cycle
from pipeline.labeling.backend import LabelingBackend
from pipeline.labeling.feedback.review_log import ReviewLog
from pipeline.labeling.feedback.reviews import commit_reviews
from pipeline.progress import Progress, silent
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def harvest_reviews(
    settings: Settings, backend: LabelingBackend | None, cycle: int | None = None, progress: Progress = silent
) -> HarvestSummary:
    """Take in what people said in reviews since the last time, as a version where anything changed.

    Args:
        settings: The project.
        backend: Who answers; None: nobody.
        cycle: The cycle under way, None between cycles.
        progress: Called while it goes on.

    Raises:
        RemoteError: The service is down or refuses.
    """
    log = ReviewLog(Workspace(settings.workspace))
    unfinished = log.unfinished()
    if unfinished is not None:
        return commit_reviews(settings, log, unfinished, cycle)
    if backend is None or not log.asked().versions:
        return HarvestSummary()
    found = backend.for_reviews().harvest(log.watermark(), progress)
    return commit_reviews(settings, log, log.save(found), cycle) if found.answers else HarvestSummary()


def harvest_reviews_in(cycle: Cycle, backend: LabelingBackend | None, progress: Progress = silent) -> None:
    """Take reviews in before the cycle's own harvest, once: what it learns and calibrates on stays as it is."""
    if not cycle.has(CycleHarvest):
        harvest_reviews(cycle.settings, backend, cycle.number, progress)
