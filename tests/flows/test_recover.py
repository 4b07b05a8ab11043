"""Runs that a Prefect server has lost sight of, as it is found to have them: by their states alone."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events import Event
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed, Pending, Running, Scheduled

from flows import recover as module
from flows.deploy import FORMER_AUTOMATIONS
from flows.recover import MOST_STARTS, recover
from tests.flows.conftest import server_in
from tests.flows.test_deployments import deploy

pytestmark = pytest.mark.timeout(600)
SILENT_S = 1.0
STORED_S = 15.0
"""A server stores events every few seconds."""


class Server:
    """Runs of a deployment that no worker serves meanwhile."""

    def __init__(self, client, prefect):
        self.client = client
        self.deployment = prefect.get("/deployments/name/cycle/nightly")["id"]
        self.runs = []

    def run(self, config, *states):
        """A flow run that went through states, each of which happened just now."""
        made = self.client.create_flow_run_from_deployment(self.deployment, parameters={"config": config})
        self.runs.append(made.id)
        for state in states:
            self.client.set_flow_run_state(made.id, state, force=True)
        return made.id

    def beat(self, run):
        """A heartbeat; the worker that sends events of this process may serve another server."""
        event = Event(event="prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run}"})
        self.client.request("POST", "/events", json=[event.model_dump(mode="json")])

    def state(self, run):
        return self.client.read_flow_run(run).state

    def outcomes(self, silent_s=SILENT_S):
        """What recovers, by number of run instead of its name."""
        names = {self.client.read_flow_run(run).name: run for run in self.runs}
        return {outcome: {names[name] for name in found} for outcome, found in recover(silent_s).items()}


@pytest.fixture(scope="module")
def prefect(tmp_path_factory):
    """A server of this module's own: what is recovered is every run of a server."""
    own = server_in(tmp_path_factory.mktemp("prefect"))
    with own.serving(), temporary_settings({PREFECT_API_URL: own.url}):
        deploy(own)
        yield own


@pytest.fixture
def server(prefect):
    with get_client(sync_client=True) as client:
        made = Server(client, prefect)
        yield made
        for run in made.runs:
            client.delete_flow_run(run)


def test_a_run_that_crashed_begins_again_and_goes_on(server):
    run = server.run("crashed.yaml", Pending(), Running(), Crashed())
    assert server.outcomes() == {"begins again": {run}}
    assert (server.state(run).type, server.state(run).name) == (StateType.SCHEDULED, "AwaitingRetry")
    assert server.outcomes() == {}, "one that is to begin is not lost"


def test_a_run_that_never_began_begins_again(server):
    run = server.run("pending.yaml", Pending())
    assert server.outcomes() == {}, "it may yet begin"
    time.sleep(SILENT_S)
    assert server.outcomes() == {"begins again": {run}}
    assert server.state(run).name == "AwaitingRetry"


def test_a_run_that_fell_silent_begins_again_unless_it_is_heard_at_a_second_look(server, monkeypatch):
    silent, alive = server.run("silent.yaml", Running()), server.run("alive.yaml", Running())
    looks = []

    def a_heartbeat_comes(seconds):
        looks.append(seconds)
        deadline, since = time.monotonic() + 60, datetime.now(UTC)
        while not module._heard(server.client, server.client.read_flow_run(alive), since):
            assert time.monotonic() < deadline, "the server has stored no heartbeat"
            server.beat(alive)
            time.sleep(0.5)

    time.sleep(STORED_S)
    with monkeypatch.context() as patched:
        patched.setattr(module, "sleep", a_heartbeat_comes)
        assert server.outcomes(STORED_S) == {"begins again": {silent}}
    assert looks == [module.TWO_HEARTBEATS_S]
    assert server.state(silent).name == "AwaitingRetry"
    assert server.state(alive).type == StateType.RUNNING


def test_what_ended_or_waits_is_left_alone(server):
    runs = [server.run("ended.yaml", Running(), Completed()), server.run("waits.yaml", Scheduled())]
    time.sleep(SILENT_S)
    assert server.outcomes() == {}
    assert [server.state(run).type for run in runs] == [StateType.COMPLETED, StateType.SCHEDULED]


def test_a_run_whose_successor_has_begun_does_not_begin_again(server, monkeypatch):
    monkeypatch.setattr(module, "TWO_HEARTBEATS_S", 0.0)
    crashed, silent = server.run("same.yaml", Running(), Crashed()), server.run("same.yaml", Running())
    server.run("another.yaml", Running(), Completed())
    last = server.run("same.yaml", Running(), Completed())
    time.sleep(SILENT_S)
    assert server.outcomes() == {"has a successor": {crashed, silent}}
    types = [server.state(run).type for run in (crashed, silent, last)]
    assert types == [StateType.CRASHED, StateType.CANCELLED, StateType.COMPLETED]


def test_a_run_that_is_lost_again_and_again_fails(server):
    ran, never_ran, never_began = (Pending(), Running(), Crashed()), (Pending(), Crashed()), (Pending(), Scheduled())
    run = server.run("again.yaml", *ran * (MOST_STARTS - 2), *never_began * MOST_STARTS, *never_ran)
    assert server.outcomes() == {"begins again": {run}}
    for state in ran:
        server.client.set_flow_run_state(run, state, force=True)
    assert server.outcomes() == {"failed": {run}}
    assert server.state(run).type == StateType.FAILED
    assert server.state(run).message.startswith(
        f"This run was started {MOST_STARTS} times and lost, and is not tried again."
    )


def test_automations_of_earlier_releases_are_removed(prefect):
    kept = Automation.read(name="crosscheck silent runs are crashed")
    for name in FORMER_AUTOMATIONS:
        Automation(name=name, trigger=kept.trigger, actions=kept.actions).create()
    deploy(prefect)
    names = [each["name"] for each in prefect.find("/automations/filter")]
    assert kept.name in names
    assert not set(names) & set(FORMER_AUTOMATIONS)
