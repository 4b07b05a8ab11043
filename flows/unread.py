"""A run that outlives its worker: nobody reads its lines any more, and it goes on."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial

from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console


def go_on_unread() -> None:
    """Let the lines that Prefect prints go nowhere once their pipe has no reader; the run's page still has them.

    A worker reads what its runs print. One that is killed leaves them a broken pipe, at which rich would end them.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.console.on_broken_pipe = partial(_fall_silent, handler.console)  # type: ignore[method-assign]


def _fall_silent(console: Console) -> None:
    console.quiet = True
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
