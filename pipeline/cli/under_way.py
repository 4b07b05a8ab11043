"""The cycle that the commands of single stages work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.console import progress_bars, settings_from

if TYPE_CHECKING:
    from pipeline.stages.cycle import Cycle


@contextmanager
def under_way(config: Path, overrides: list[str] | None) -> Iterator[tuple[Cycle, Callable[[str, int, int], None]]]:
    """The cycle under way, or the next one, alone in its workspace and with progress bars."""
    from pipeline.stages.cycle import only_one, open_cycle

    settings = settings_from(config, overrides)
    with only_one(settings), progress_bars() as progress:
        yield open_cycle(settings, datetime.now(UTC)), progress
