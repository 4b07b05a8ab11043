"""Which runner does the work, by `runner.kind`; what comes out is the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pipeline.runners.dask_cluster import require_dask
from pipeline.runners.on_dask import OnDask
from pipeline.runners.processes import InProcesses
from pipeline.runners.work import ALONE, Runner
from pipeline.settings import RunnerSettings


@contextmanager
def runner_of(settings: RunnerSettings) -> Iterator[Runner]:
    """The runner of a project; what it starts on this machine is started by the first work, and ends with the block.

    Args:
        settings: Which, and how many workers it has.
    """
    with ExitStack() as stack:
        match settings.kind:
            case "local":
                yield ALONE
            case "processes":
                yield stack.enter_context(InProcesses(settings.workers))
            case "dask":
                yield stack.enter_context(OnDask(settings.dask_scheduler, settings.workers))


def require_runner(settings: RunnerSettings) -> None:
    """Refuse a runner that cannot work before a cycle begins.

    Raises:
        SettingsError: A package is missing.
    """
    if settings.kind == "dask":
        require_dask()
