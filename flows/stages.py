"""Flows of single stages: they work on the cycle under way, or open the next one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from prefect import Task, flow

from flows.tasks import (
    CycleRef,
    Told,
    finetune_task,
    gate_task,
    grade_task,
    harvest_task,
    import_task,
    in_workspace,
    mine_task,
    report_task,
    select_task,
)
from pipeline.settings import load_settings
from pipeline.stages.cycle import only_one, open_cycle


@flow(name="finetune")
def finetune(config: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """Import, harvest, fine-tune the champion and put the candidate through the gate."""
    return _run(config, overrides, [import_task, harvest_task, finetune_task, gate_task])


@flow(name="mine")
def mine(config: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """Mine the pool with the champion and decide every proposal's fate."""
    return _run(config, overrides, [mine_task, select_task])


@flow(name="report")
def report(config: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """Write the pages of the cycle under way."""
    return _run(config, overrides, [grade_task, report_task])


def _run(config: str, overrides: list[str] | None, steps: Iterable[Task[[CycleRef], Told]]) -> dict[str, Any]:
    """Run stages in order; those that have run before do nothing.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.
        steps: The stages.

    Returns:
        The cycle's number, and what each stage told.
    """
    settings = load_settings(config, overrides or [])
    with only_one(settings):
        ref = CycleRef.of(open_cycle(settings, datetime.now(UTC)))
        return {"cycle": ref.number, **{step.name: in_workspace(step, ref) for step in steps}}
