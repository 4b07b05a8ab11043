"""Runs that nobody watches wait for the workspace, one of each kind, and outlive the worker that started them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from prefect.states import Completed

from flows.unread import go_on_unread
from pipeline.errors import AnotherWaits

P = ParamSpec("P")
R = TypeVar("R")


def unattended(run: Callable[P, R]) -> Callable[P, R]:
    """Let a flow run where nobody watches.

    It ends as `Skipped` where another run of its kind waits already; nothing failed. It goes on without its worker.
    One that crashed is started again by `flows/recover.py`.
    """

    @wraps(run)
    def skip(*args: P.args, **kwargs: P.kwargs) -> R:
        go_on_unread()
        try:
            return run(*args, **kwargs)
        except AnotherWaits as fault:
            skipped: Any = Completed(name="Skipped", message=str(fault))
            return skipped  # type: ignore[no-any-return]

    # Prefect would look the names of types up in this module.
    skip.__signature__ = signature(run, eval_str=True)  # type: ignore[attr-defined]
    return skip
