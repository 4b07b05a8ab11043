"""One cycle: harvest, commit, fine-tune, gate, mine, select, push, report. It never waits for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger

from flows.artefacts import show_report
from flows.tasks import (
    CycleRef,
    finetune_task,
    gate_task,
    grade_task,
    harvest_task,
    import_task,
    in_workspace,
    mine_task,
    push_task,
    report_task,
    select_task,
)
from pipeline.errors import RemoteError
from pipeline.settings import load_settings
from pipeline.stages.cycle import finish_cycle, only_one, open_cycle
from pipeline.stages.harvest import harvest_failed
from pipeline.stages.push import push_failed

LEARNING = (finetune_task, gate_task, mine_task, select_task)


@flow(name="cycle", description=__doc__)
def cycle(config: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """Run the cycle that was not finished, or the next one.

    Args:
        config: Settings file.
        overrides: `section.key=value` texts laid over it.

    Returns:
        `cycle`, `report` (path of the page) and `summary` (a line).
    """
    settings = load_settings(config, overrides or [])
    with only_one(settings):
        current = open_cycle(settings, datetime.now(UTC))
        ref = CycleRef.of(current)
        in_workspace(import_task, ref)
        try:
            in_workspace(harvest_task, ref)
        except RemoteError as fault:
            get_run_logger().warning("Nothing harvested, the cycle goes on: %s", fault)
            harvest_failed(current, str(fault))
        for step in LEARNING:
            in_workspace(step, ref)
        try:
            in_workspace(push_task, ref)
        except RemoteError as fault:
            get_run_logger().warning("Nothing pushed, the next cycle does: %s", fault)
            push_failed(current, str(fault))
        in_workspace(grade_task, ref)
        told = in_workspace(report_task, ref)
        show_report(current)
        finish_cycle(current, datetime.now(UTC))
    return {"cycle": current.number, **told}
