"""A run's page in Prefect, for people: where the server is away, the run goes on without it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

LOG = logging.getLogger(__name__)
SECONDS_OF_SILENCE = 300.0
"""Prefect tries for about a minute before it says that the server does not answer."""
R = TypeVar("R")


class Page:
    """Shows things on the page of the run; after the server failed to answer, nothing for some minutes."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def show(self, thing: Callable[[], R]) -> R | None:
        """Show something.

        Args:
            thing: Sends it to the server.

        Returns:
            What `thing` returns; None where it was not shown.
        """
        if time.monotonic() < self._silent_until:
            return None
        try:
            return thing()
        except httpx.HTTPError as fault:
            self._silent_until = time.monotonic() + SECONDS_OF_SILENCE
            LOG.warning("The Prefect server does not answer (%s); the run goes on, and shows less on its page", fault)
            return None
