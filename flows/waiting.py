"""Runs that nobody watches wait for the workspace, one of each kind, and outlive the worker that started them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from prefect.runtime import flow_run
from prefect.states import Completed

from flows.unread import go_on_unread
from pipeline.errors import AnotherWaits, PipelineError

MOST_RUNS = 4
"""Of one flow run: the first, and those after a crash."""
P = ParamSpec("P")
R = TypeVar("R")


def unattended(run: Callable[P, R]) -> Callable[P, R]:
    """Let a flow run where nobody watches.

    It ends as `Skipped` where another run of its kind waits already; nothing failed. It goes on without its worker.
    One that crashed is scheduled again, see `automations.yaml`, and here is where that ends.
    """

    @wraps(run)
    def skip(*args: P.args, **kwargs: P.kwargs) -> R:
        _require_not_crashing()
        go_on_unread()
        try:
            return run(*args, **kwargs)
        except AnotherWaits as fault:
            skipped: Any = Completed(name="Skipped", message=str(fault))
            return skipped  # type: ignore[no-any-return]

    # Prefect would look the names of types up in this module.
    skip.__signature__ = signature(run, eval_str=True)  # type: ignore[attr-defined]
    return skip


def _require_not_crashing() -> None:
    runs = flow_run.run_count or 0
    if runs > MOST_RUNS:
        raise PipelineError(
            f"This run crashed {runs - 1} times and is not tried again. See the worker's log and the machine's "
            "(memory, disk); then start a new run, which goes on where this one was."
        )
