"""The tasks of the flows: each is one call into `pipeline.stages`.

Every task keeps its result in the workspace, by its inputs; a cycle that was killed finds those of finished tasks
there. Only tasks that use the network are retried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prefect import State, Task, task
from prefect.blocks.system import Secret
from prefect.cache_policies import INPUTS, TASK_SOURCE
from pydantic import SecretStr

from flows.progress import run_page_progress
from pipeline.errors import RemoteError
from pipeline.settings import Secrets, Settings
from pipeline.stages.backend import labeling_backend
from pipeline.stages.cycle import Cycle, load_cycle
from pipeline.stages.finetune import finetune, gate
from pipeline.stages.grade import grade
from pipeline.stages.harvest import harvest
from pipeline.stages.importing import import_new
from pipeline.stages.mine import mine
from pipeline.stages.push import push
from pipeline.stages.report import report
from pipeline.stages.select import select

Told = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

CACHED: dict[str, Any] = {
    "persist_result": True,
    "result_serializer": "json",
    "cache_policy": INPUTS + TASK_SOURCE,
}


def is_remote(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Tell whether trying again may help: a remote service failed, nothing else."""
    return isinstance(state.result(raise_on_failure=False), RemoteError)


RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [10, 30, 90],
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": is_remote,
}
NETWORK = {**CACHED, **RETRIED}


@dataclass(frozen=True)
class CycleRef:
    """What a task needs to find its cycle; part of its cache key.

    Attributes:
        workspace: Folder or URI.
        number: Of the cycle.
        opened_at: Tells a cycle from one that was discarded.
    """

    workspace: str
    number: int
    opened_at: str

    @staticmethod
    def of(cycle: Cycle) -> CycleRef:
        """Refer to a cycle."""
        return CycleRef(cycle.workspace.uri, cycle.number, cycle.opened_at.isoformat())

    def load(self) -> Cycle:
        """Find the cycle again, in whatever process."""
        return load_cycle(self.workspace, self.number)


def in_workspace(step: Task[[CycleRef], Told], ref: CycleRef) -> Told:
    """Run a task with its result kept in the workspace; a remote workspace leaves that to Prefect's own storage."""
    if "://" in ref.workspace:
        return step(ref)
    return step.with_options(result_storage=Path(ref.workspace) / "results")(ref)


def label_studio_token(settings: Settings) -> SecretStr | None:
    """The token from the environment, or from the Secret block that the settings name; None where not needed."""
    if settings.labeling.backend != "label_studio" or settings.labeling.label_studio is None:
        return None
    from_environment = Secrets().label_studio_api_key
    if from_environment is not None:
        return from_environment
    try:
        return SecretStr(str(Secret.load(settings.labeling.label_studio.secret_block).get()))  # type: ignore[union-attr]
    except ValueError:  # no such block: the backend says what to set
        return None


@task(name="import", **NETWORK)
def import_task(ref: CycleRef) -> Told:
    """Import images that are new in the configured sources."""
    return import_new(ref.load(), run_page_progress())


@task(name="harvest", **NETWORK)
def harvest_task(ref: CycleRef) -> Told:
    """Take in what people answered, as a dataset version."""
    cycle = ref.load()
    backend = labeling_backend(cycle.settings, label_studio_token(cycle.settings))
    return harvest(cycle, backend, run_page_progress())


@task(name="finetune", **CACHED)
def finetune_task(ref: CycleRef) -> Told:
    """Train a candidate from the champion."""
    return finetune(ref.load(), run_page_progress())


@task(name="gate", **CACHED)
def gate_task(ref: CycleRef) -> Told:
    """Evaluate the candidate and promote it unless it is worse."""
    return gate(ref.load())


@task(name="mine", **CACHED)
def mine_task(ref: CycleRef) -> Told:
    """Propose and check on the pool."""
    return mine(ref.load(), run_page_progress())


@task(name="select", **CACHED)
def select_task(ref: CycleRef) -> Told:
    """Pseudo-label, queue or drop, as a dataset version."""
    return select(ref.load())


@task(name="push", **NETWORK)
def push_task(ref: CycleRef) -> Told:
    """Ask people about what is queued."""
    cycle = ref.load()
    backend = labeling_backend(cycle.settings, label_studio_token(cycle.settings))
    return push(cycle, backend, run_page_progress())


@task(name="grade", **CACHED)
def grade_task(ref: CycleRef) -> Told:
    """In a simulation, hold pseudo-labels against the hidden truth, for the report alone."""
    return grade(ref.load())


@task(name="report", **CACHED)
def report_task(ref: CycleRef) -> Told:
    """Write the cycle's page and the index."""
    return report(ref.load())
