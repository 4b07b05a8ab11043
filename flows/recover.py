"""Runs that were lost begin again: those that crashed, never began, or have fallen silent.

It goes by the state of every run and not by events, which a Prefect server loses when it is killed or its SQLite is
locked. `prefect.yaml` starts it when a run crashes, and every hour.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import sleep

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.states import AwaitingRetry, Cancelled, Failed

MOST_STARTS = 4
"""Of the process of one run: the first, and those after it was lost."""
LONGEST_AGO = timedelta(days=2)
"""Runs that were due before are history: a later one has gone on where they were."""
TWO_HEARTBEATS_S = 120.0


@flow(name="recover", description=__doc__)
def recover(silent_s: float = 600.0) -> dict[str, list[str]]:
    """Start lost runs again, four times at most; each goes on where it was.

    Args:
        silent_s: A run that has not begun for so long, or has sent no heartbeat, is lost.

    Returns:
        Names of runs by what became of them: `begins again`, `failed`, or `has a successor`, which took its place.
    """
    outcomes: dict[str, list[str]] = defaultdict(list)
    with get_client(sync_client=True) as client:
        lost = _lost(client, silent_s)
        if any(run.state_type == StateType.RUNNING for run in lost):
            # Of a server that was down nobody could be heard; whoever lives is heard soon.
            sleep(TWO_HEARTBEATS_S)
            lost = _lost(client, silent_s)
        for run in lost:
            outcome, state = _verdict(client, run)
            if state is not None:
                client.set_flow_run_state(run.id, state, force=True)
            outcomes[outcome].append(run.name)
    return dict(outcomes)


def _lost(client: SyncPrefectClient, silent_s: float) -> list[FlowRun]:
    now = datetime.now(UTC)
    silent_since = now - timedelta(seconds=silent_s)
    candidates = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=["crosscheck"]),
            deployment_id=FlowRunFilterDeploymentId(is_null_=False),
            state=_of_type(any_=[StateType.CRASHED, StateType.PENDING, StateType.RUNNING]),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=now - LONGEST_AGO),
        )
    )
    return [run for run in candidates if run.state_type == StateType.CRASHED or not _heard(client, run, silent_since)]


def _heard(client: SyncPrefectClient, run: FlowRun, since: datetime) -> bool:
    if run.state is None or run.state.timestamp >= since:
        return True
    heartbeats = EventFilter(
        occurred=EventOccurredFilter(since=since),
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    return bool(client.read_events(heartbeats, limit=1).events)


def _verdict(client: SyncPrefectClient, run: FlowRun) -> tuple[str, State[object] | None]:
    """What becomes of a lost run, and the state that it gets; None leaves it as it is."""
    if _has_successor(client, run):
        if run.state_type == StateType.CRASHED:
            return "has a successor", None
        return "has a successor", Cancelled(message="Its process is gone, and a later run took its place.")
    starts = _starts(client, run)
    if starts >= MOST_STARTS:
        message = (
            f"This run was started {starts} times and lost, and is not tried again. See the worker's log and the "
            "machine's (memory, disk); then start a new run, which goes on where this one was."
        )
        return "failed", Failed(message=message)
    return "begins again", AwaitingRetry(message="Its process is gone; goes on where it was.")


def _starts(client: SyncPrefectClient, run: FlowRun) -> int:
    """How often its process was started: a worker that dies before it starts one is no fault of the run."""
    states = sorted(client.read_flow_run_states(run.id), key=lambda state: state.timestamp)
    began = {StateType.RUNNING, StateType.CRASHED}
    return sum(before.type == StateType.PENDING and after.type in began for before, after in pairwise(states))


def _has_successor(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether a later run of the same deployment and parameters has begun."""
    later = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[run.deployment_id]),
            state=_of_type(not_any_=[StateType.SCHEDULED]),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=run.expected_start_time),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
    )
    return any(each.id != run.id and each.parameters == run.parameters for each in later)


def _of_type(**types: list[StateType]) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(**types))
