"""A machine, a worker or the Prefect server dies in the middle of a cycle: the cycle ends by itself."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from datetime import timedelta

import psutil
import pytest
from prefect.automations import Automation
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import write_config
from tests.flows.conftest import server_in
from tests.flows.test_deployments import deploy, start, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SILENCE = timedelta(seconds=100)
"""Instead of ten minutes; heartbeats come every minute."""


@pytest.fixture
def prefect(tmp_path):
    return server_in(tmp_path / "prefect")


@pytest.fixture
def cycle(tiny_data, tmp_path):
    """Settings of a project, and the folder of its first cycle."""
    config = write_config(tmp_path, tiny_data)
    return config, Workspace(load_settings(config).workspace).cycle(0)


def kill(process: int) -> None:
    """kill -9 of a process and of everything that it started."""
    family = [psutil.Process(process), *psutil.Process(process).children(recursive=True)]
    for member in family:
        os.kill(member.pid, signal.SIGKILL)
    psutil.wait_procs(family)


def act_after(silence: timedelta, prefect, automation: str = "crosscheck silent runs are crashed") -> None:
    """Let an automation act sooner."""
    with temporary_settings({PREFECT_API_URL: prefect.url}):
        found = Automation.read(name=automation)
        found.trigger.within = silence
        found.update()


def ended(prefect, number) -> bool:
    return prefect.get(f"/flow_runs/{number}")["state"]["type"] == "COMPLETED"


def test_a_run_goes_on_when_its_server_is_killed_and_started_again(prefect, cycle):
    config, folder = cycle
    prefect.logs.mkdir()
    with ExitStack() as stack:
        with prefect.serving() as server:
            deploy(prefect)
            stack.enter_context(prefect.background("worker", "worker", "start", "--pool", "local"))
            number = start(prefect, "cycle/nightly", config)
            wait_for(lambda: folder.exists("import.json"), prefect)
            kill(server.pid)
        with prefect.serving():
            wait_for(lambda: folder.exists("done.json"), prefect)
            wait_for(lambda: ended(prefect, number), prefect)


def test_a_run_whose_machine_dies_is_ended_by_the_next_worker(prefect, cycle):
    config, folder = cycle
    prefect.logs.mkdir()
    with prefect.serving():
        deploy(prefect)
        act_after(SILENCE, prefect)
        with prefect.background("worker", "worker", "start", "--pool", "local") as worker:
            number = start(prefect, "cycle/nightly", config)
            wait_for(lambda: folder.exists("import.json"), prefect)
            kill(worker.pid)
        assert not folder.exists("done.json")
        with prefect.background("worker", "worker", "start", "--pool", "local"):
            wait_for(lambda: ended(prefect, number), prefect)
        assert folder.exists("done.json")


def test_a_run_whose_worker_alone_is_killed_ends(prefect, cycle):
    config, folder = cycle
    prefect.logs.mkdir()
    with prefect.serving():
        deploy(prefect)
        with prefect.background("worker", "worker", "start", "--pool", "local") as worker:
            number = start(prefect, "cycle/nightly", config)
            wait_for(lambda: folder.exists("import.json"), prefect)
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
        assert not folder.exists("done.json")
        wait_for(lambda: folder.exists("done.json"), prefect)
        wait_for(lambda: ended(prefect, number), prefect)


def test_a_run_goes_on_without_a_server_and_is_told_to_have_ended_once_it_is_back(prefect, cycle):
    config, folder = cycle
    prefect.logs.mkdir()
    with ExitStack() as stack:
        with prefect.serving() as server:
            deploy(prefect)
            act_after(SILENCE, prefect)
            stack.enter_context(prefect.background("worker", "worker", "start", "--pool", "local"))
            number = start(prefect, "cycle/nightly", config)
            wait_for(lambda: folder.exists("import.json"), prefect)
            kill(server.pid)
        wait_for(lambda: folder.exists("done.json"), prefect)
        with prefect.serving():
            wait_for(lambda: ended(prefect, number), prefect)
    assert Workspace(load_settings(config).workspace).cycles() == [0]
