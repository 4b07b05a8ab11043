"""Settings of `runners/`: who does the work, with the same outcome."""

from typing import Literal

from pydantic import Field

from pipeline.settings.base import Section


class RunnerSettings(Section):
    """Where parts of the pool are mined, images are evaluated and members of the committee are trained."""

    kind: Literal["local", "processes", "dask"] = Field(
        default="local",
        description="processes, dask: several at once, with the same outcome, on this machine or on a Dask cluster",
    )
    workers: int = Field(
        default=2, ge=1, le=256, description="so many processes on this machine, each with its own detector"
    )
    dask_scheduler: str | None = Field(
        default=None,
        min_length=1,
        description="address of a Dask cluster, such as tcp://host:8786, which has its own workers; none: one is "
        "started on this machine",
    )
