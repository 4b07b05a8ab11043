"""Taking in what people answered: saved first, then committed, so that no answer is lost to a kill.

A cycle makes one harvest, `crosscheck harvest` makes more between cycles, and each cycle sums up all since the cycle
before it.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.artefacts import CycleHarvest, HarvestSummary
from pipeline.cycle import Cycle
from pipeline.dataset.store import SampleStore
from pipeline.labeling.backend import LabelingBackend
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.labeling.feedback.intake import Intake
from pipeline.labeling.feedback.summing import sum_up
from pipeline.progress import Progress, silent
from pipeline.workspace import Workspace


def harvest(cycle: Cycle, backend: LabelingBackend | None, progress: Progress = silent) -> CycleHarvest:
    """Harvest once per cycle, and sum up everything harvested since the cycle before.

    Args:
        cycle: The cycle.
        backend: Who answers; None: nobody.
        progress: Called while it goes on.

    Raises:
        RemoteError: The service is down or refuses.
    """

    def run() -> CycleHarvest:
        harvest_now(Intake(cycle.settings, backend, cycle.number), progress)
        return _since_last_cycle(cycle)

    return cycle.once(CycleHarvest, run)


def harvest_failed(cycle: Cycle, reason: str) -> CycleHarvest:
    """Note that nothing could be harvested; the next cycle looks back as far as the last success."""

    def run() -> CycleHarvest:
        summary = _since_last_cycle(cycle)
        return replace(summary, notes=(*summary.notes, ("harvest", reason)))

    return cycle.once(CycleHarvest, run)


def harvest_now(intake: Intake, progress: Progress = silent, full: bool = False) -> HarvestSummary:
    """Harvest, or finish the harvest that was begun.

    Args:
        intake: What takes answers in.
        progress: Called while it goes on.
        full: Ask for every answer again, not only for new ones: finds those that were deleted, and reads all with the
            labels of today. Answers that a restored version undid stay undone, unless they changed since or
            `intake.again` is set.

    Raises:
        RemoteError: The service is down or refuses.
    """
    settings, log = intake.settings, HarvestLog(Workspace(intake.settings.workspace))
    unfinished = log.unfinished()
    if unfinished is not None:
        summary = replace(intake, again=False).commit(log, unfinished)
        if not full:
            return summary
    if intake.backend is None or not SampleStore(Workspace(settings.workspace).samples_uri).exists():
        return HarvestSummary()
    found = intake.backend.harvest(None if full else log.watermark(), progress)
    return intake.commit(log, log.save(found))


def _since_last_cycle(cycle: Cycle) -> CycleHarvest:
    before = cycle.before()
    return sum_up(cycle.settings, before.read(CycleHarvest) if before else None)
