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


def act_after(silence: timedelta, prefect) -> None:
    """Let silent runs be marked Crashed sooner."""
    with temporary_settings({PREFECT_API_URL: prefect.url}):
        found = Automation.read(name="crosscheck silent runs are crashed")
        found.trigger.within = silence
        found.update()


def recover_every_minute(prefect) -> None:
    """Look for lost runs every minute, and hold one lost sooner."""
    deployment = prefect.get("/deployments/name/recover/hourly")["id"]
    every_minute = {"schedule": {"cron": "* * * * *"}, "parameters": {"silent_s": SILENCE.total_seconds()}}
    prefect.post(f"/deployments/{deployment}/schedules", [every_minute])


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


def test_a_run_whose_server_is_killed_as_its_process_begins_ends(prefect, cycle):
    config, folder = cycle
    prefect.logs.mkdir()
    with ExitStack() as stack:
        with prefect.serving() as server:
            deploy(prefect)
            recover_every_minute(prefect)
            worker = psutil.Process(
                stack.enter_context(prefect.background("worker", "worker", "start", "--pool", "local")).pid
            )
            number = start(prefect, "cycle/nightly", config)
            wait_for(lambda: any(number in began(each) for each in worker.children(recursive=True)), prefect)
            kill(server.pid)
        assert not folder.exists("import.json")
        wait_for(lambda: not worker.children(), prefect)
        with prefect.serving():
            wait_for(lambda: ended(prefect, number), prefect)
    assert Workspace(load_settings(config).workspace).cycles() == [0]


def began(process: psutil.Process) -> str:
    """The arguments and variables with which a process began; empty once it has ended."""
    try:
        return f"{process.cmdline()} {process.environ()}"
    except psutil.Error:
        return ""


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
