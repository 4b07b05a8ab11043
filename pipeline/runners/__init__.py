"""Where work is done that can be shared out: in this process, in several, or on a Dask cluster, to the same end."""

from pipeline.runners.choice import require_runner, runner_of
from pipeline.runners.work import ALONE, Runner, Work

__all__ = ["ALONE", "Runner", "Work", "require_runner", "runner_of"]
