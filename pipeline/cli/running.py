"""What commands run or work on: a whole cycle, the active cycle, or the annotators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.console import progress_bars, settings_from

if TYPE_CHECKING:
    from pipeline.cycle import Cycle
    from pipeline.labeling.backend import LabelingBackend
    from pipeline.progress import Progress
    from pipeline.settings import Settings


def run_cycle(config: Path, overrides: list[str] | None) -> dict[str, Any]:
    """Run the flow `cycle` in this process, with progress bars."""
    from flows.cycle import cycle as cycle_flow
    from flows.progress import listening

    with progress_bars() as progress, listening(progress):
        outcome: dict[str, Any] = cycle_flow(str(config), list(overrides or []))
    return outcome


@contextmanager
def active_cycle(config: Path, overrides: list[str] | None) -> Iterator[tuple[Cycle, Progress]]:
    """The cycle under way, or the next one, alone in its workspace and with progress bars."""
    from pipeline.cycle import only_one, open_cycle

    settings = settings_from(config, overrides)
    with only_one(settings), progress_bars() as progress:
        yield open_cycle(settings, datetime.now(UTC)), progress


@contextmanager
def with_annotators(
    config: Path, overrides: list[str] | None
) -> Iterator[tuple[Settings, LabelingBackend | None, Progress]]:
    """The project's annotators, alone in its workspace and with progress bars; the token is in the environment."""
    from pipeline.cycle import only_one
    from pipeline.labeling.annotators import labeling_backend
    from pipeline.settings import Secrets

    settings = settings_from(config, overrides)
    with only_one(settings), progress_bars() as progress:
        yield settings, labeling_backend(settings, Secrets().label_studio_api_key), progress
