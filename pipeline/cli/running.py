"""What commands run or work on: a whole cycle, the active cycle, or the annotators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.console import progress_bars, settings_from

if TYPE_CHECKING:
    from pipeline.cycle import Cycle
    from pipeline.labeling.backend import LabelingBackend
    from pipeline.loop import CycleOutcome
    from pipeline.progress import Progress
    from pipeline.settings import Settings


def run_cycle(config: Path, overrides: list[str] | None) -> CycleOutcome:
    """Run a whole cycle in this process, with progress bars; as a Prefect flow where a server is named.

    Without one nothing is started beside this process, so that nothing can stay behind when it is killed.
    """
    from flows.server import has_server

    with progress_bars() as progress:
        if has_server():
            return _run_as_flow(config, overrides, progress)
        return _run_alone(settings_from(config, overrides), progress)


def _run_as_flow(config: Path, overrides: list[str] | None, progress: Progress) -> CycleOutcome:
    from flows.cycle import cycle
    from flows.progress import listening

    with listening(progress):
        outcome: CycleOutcome = cycle(str(config), list(overrides or []))
    return outcome


def _run_alone(settings: Settings, progress: Progress) -> CycleOutcome:
    from pipeline.loop import Surroundings, annotators_from_environment, outcome_of, run_cycle

    return outcome_of(run_cycle(settings, Surroundings(annotators_from_environment, progress)))


@contextmanager
def active_cycle(config: Path, overrides: list[str] | None) -> Iterator[tuple[Cycle, Progress]]:
    """The cycle under way, or the next one, alone in its workspace and with progress bars."""
    from pipeline.cycle import only_one
    from pipeline.loop import begin_cycle

    settings = settings_from(config, overrides)
    with only_one(settings), progress_bars() as progress:
        yield begin_cycle(settings), progress


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
