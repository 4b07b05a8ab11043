"""Flows of single stages: they work on the cycle under way, or open the next one."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow

from flows.artefacts import show_report
from flows.tasks import as_task, surroundings
from flows.waiting import unattended
from pipeline.artefacts import CycleEnd
from pipeline.cycle import last_cycle, only_one
from pipeline.errors import ArtefactError
from pipeline.loop import (
    COMMITTEE,
    FINETUNE,
    GATE,
    HARVEST,
    HIDDEN_TRUTH,
    IMPORT,
    MINE,
    REPORT,
    SELECT,
    Step,
    begin_cycle,
    run_steps,
)
from pipeline.settings import load_settings


@flow(name="finetune")
@unattended
def finetune(config: str, overrides: list[str] | None = None, wait_s: float = 0.0) -> int:
    """Import, harvest, train committee and candidate, and put it through the gate.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.
        wait_s: How long to wait for another run in the workspace; 0 refuses at once.

    Returns:
        The cycle's number.
    """
    return _run(config, overrides, wait_s, (IMPORT, HARVEST, COMMITTEE, FINETUNE, GATE))


@flow(name="mine")
@unattended
def mine(config: str, overrides: list[str] | None = None, wait_s: float = 0.0) -> int:
    """Mine the pool with the champion and decide every proposal's fate.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.
        wait_s: How long to wait for another run in the workspace; 0 refuses at once.

    Returns:
        The cycle's number.
    """
    return _run(config, overrides, wait_s, (MINE, SELECT))


@flow(name="report")
@unattended
def report(config: str, overrides: list[str] | None = None, wait_s: float = 0.0) -> int:
    """Write the pages of the last cycle anew, finished or not.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.
        wait_s: How long to wait for another run in the workspace; 0 refuses at once.

    Returns:
        The cycle's number.
    """
    settings = load_settings(config, overrides or [])
    with only_one(settings, wait_s, "report"):
        cycle = last_cycle(settings)
        if cycle is None:
            raise ArtefactError(f"Expected a cycle in {settings.workspace}, found none. Run `crosscheck cycle` first.")
        run_steps(cycle, (HIDDEN_TRUTH, REPORT), surroundings(), as_task)
        show_report(cycle)
    return cycle.number


def _run(config: str, overrides: list[str] | None, wait_s: float, steps: Sequence[Step]) -> int:
    settings = load_settings(config, overrides or [])
    with only_one(settings, wait_s, steps[-1].name):
        around = surroundings()
        cycle = begin_cycle(settings, around.run, unattended=wait_s > 0)
        if not cycle.has(CycleEnd):
            run_steps(cycle, steps, around, as_task)
    return cycle.number
