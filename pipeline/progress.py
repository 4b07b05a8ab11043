"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what is done, done, total) while something works; what it raises ends the work."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody looks at."""
