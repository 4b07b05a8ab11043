"""Where parts of the pool are mined, by `mining.runner`; what comes out is the same."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.mining.dask_cluster import require_dask
from pipeline.mining.on_dask import OnDask
from pipeline.mining.parts import PartedMining, SideBySide
from pipeline.mining.processes import InProcesses
from pipeline.settings import MiningSettings


def side_by_side(settings: MiningSettings, prepare: Callable[[], PartedMining]) -> SideBySide | None:
    """What mines parts in other processes; None where this one mines them all.

    Args:
        settings: The runner, and how many workers it has.
        prepare: Loads detector and hosts in another process; can be pickled.
    """
    match settings.runner:
        case "local":
            return None
        case "processes":
            return InProcesses(prepare, settings.workers)
        case "dask":
            return OnDask(prepare, settings.dask_scheduler, settings.workers)


def require_runner(settings: MiningSettings) -> None:
    """Refuse a runner that cannot work before a cycle begins.

    Raises:
        SettingsError: A package is missing.
    """
    if settings.runner == "dask":
        require_dask()
