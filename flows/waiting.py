"""Runs that nobody watches wait for the workspace; one of each kind is enough."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect.states import Completed

from pipeline.errors import AnotherWaits

P = ParamSpec("P")
R = TypeVar("R")


def skipped_where_another_waits(run: Callable[P, R]) -> Callable[P, R]:
    """End a flow as `Skipped` where another run of its kind waits already; nothing failed."""

    @wraps(run)
    def skip(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return run(*args, **kwargs)
        except AnotherWaits as fault:
            skipped: Any = Completed(name="Skipped", message=str(fault))
            return skipped  # type: ignore[no-any-return]

    return skip
