"""One cycle: harvest, commit, fine-tune, gate, mine, select, push, report. It never waits for people."""

from __future__ import annotations

from prefect import flow

from flows.artefacts import show_report
from flows.notices import emit, of_cycle, of_disk
from flows.tasks import as_task, surroundings
from flows.waiting import unattended
from pipeline.loop import CycleOutcome, outcome_of, run_cycle
from pipeline.settings import load_settings


@flow(name="cycle", description=__doc__)
@unattended
def cycle(config: str, overrides: list[str] | None = None, wait_s: float = 0.0) -> CycleOutcome:
    """Run the cycle that was not finished, or the next one.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.
        wait_s: How long to wait for another run in the workspace; 0 refuses at once.

    Returns:
        `cycle`, `report` (path of the page) and `summary` (a line).
    """
    settings = load_settings(config, overrides or [])
    emit(settings, of_disk(settings))
    finished = run_cycle(settings, surroundings(), as_task, wait_s)
    outcome = outcome_of(finished)
    show_report(finished)
    emit(settings, of_cycle(finished))
    return outcome
