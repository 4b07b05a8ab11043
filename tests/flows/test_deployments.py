"""The deployments, as the README has them: a real server, a real worker, no git and no prompt."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from flows.recover import MOST_STARTS
from pipeline.cycle import only_one
from pipeline.dataset.store import SampleStore
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import write_config
from tests.flows.conftest import PROJECT

pytestmark = pytest.mark.timeout(1800)
CROSSCHECK = Path(sys.executable).with_name("crosscheck")
LOST_EVENT_S = 15 * 60
"""Where SQLite was locked as Prefect handled an event, it handles those that follow it so much later."""


@pytest.fixture(scope="module")
def deployed(prefect):
    """Everything set up on an empty server, twice, and a worker at work in another folder."""
    outcomes = [deploy(prefect), deploy(prefect)]
    assert outcomes[0] == outcomes[1]
    with prefect.background("worker", "worker", "start", "--pool", "local", folder=prefect.logs) as worker:
        yield replace(prefect, worker=worker.pid)


def deploy(prefect, *options):
    done = subprocess.run(
        [CROSSCHECK, "deploy", "--json", *options], cwd=PROJECT, env=prefect.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def start(prefect, deployment, config, *options):
    """Run a deployment; returns the id of the flow run."""
    done = prefect.run(
        "--no-prompt", "deployment", "run", deployment, "--param", f"config={config}", *options, timeout=500
    )
    told = done.stdout + done.stderr
    worker = (prefect.logs / "worker.log").read_text()[-4000:]
    assert done.returncode == 0, f"{told}\n{worker}"
    number = re.search(r"UUID: ([0-9a-f-]{36})", told)
    assert number, told
    return number[1]


def run(prefect, deployment, config):
    """Run a deployment and wait for it; returns the flow run as the server has it."""
    return prefect.get(f"/flow_runs/{start(prefect, deployment, config, '--watch')}")


def test_everything_is_set_up_once_however_often_it_is_deployed(deployed):
    deployments = deployed.find("/deployments/filter")
    assert len(deployments) == 8
    config = str(PROJECT / "configs/demo.yaml")
    for deployment in deployments:
        by_hand = {"config": config, "kind": "mining", "options": []}
        scheduled = {"config": config, "wait_s": 43200}
        expected = {"flows.benchmark.benchmark": by_hand, "flows.recover.recover": {"silent_s": 600}}
        assert deployment["parameters"] == expected.get(deployment["entrypoint"], scheduled)
        assert deployment["work_pool_name"] == "local"
        documented = deployment["parameter_openapi_schema"]["properties"]
        assert all(documented[name]["description"] for name in deployment["parameters"])
        assert deployment["global_concurrency_limit"] is None, "a limit ends healthy runs when the server restarts"
        assert not deployment["pull_steps"], "no folder of this machine is named"
    assert deployed.get("/work_pools/local")["concurrency_limit"] is None
    cron = {
        name: [each["schedule"]["cron"] for each in deployed.get(f"/deployments/name/{name}")["schedules"]]
        for name in ("cycle/nightly", "harvest/hourly", "recover/hourly", "report/weekly")
    }
    assert cron == {
        "cycle/nightly": ["0 2 * * *"],
        "harvest/hourly": ["30 7-18 * * 1-5"],
        "recover/hourly": ["15 * * * *"],
        "report/weekly": ["0 6 * * 1"],
    }
    automations = [each["name"] for each in deployed.find("/automations/filter")]
    assert "crosscheck silent runs are crashed" in automations
    assert len(automations) == 3, "and that of the webhook, and that of crashed runs"


def test_a_schedule_starts_runs(deployed, tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data)
    schedules = f"/deployments/{deployed.get('/deployments/name/cycle/nightly')['id']}/schedules"
    every_minute = {"schedule": {"cron": "* * * * *"}, "parameters": {"config": str(config), "wait_s": 60}}
    (made,) = deployed.post(schedules, [every_minute])
    folder = Workspace(load_settings(config).workspace).cycle(0)
    try:
        wait_for(lambda: folder.exists("done.json"), deployed)
    finally:
        deployed.delete(f"{schedules}/{made['id']}")


def test_what_trains_or_mines_goes_to_machines_with_a_gpu(prefect):
    assert deploy(prefect, "--gpu-pool", "gpu")["pools"] == ["local", "gpu"]
    pools = {each["entrypoint"]: each["work_pool_name"] for each in prefect.find("/deployments/filter")}
    assert pools == {
        "flows.cycle.cycle": "gpu",
        "flows.stages.finetune": "gpu",
        "flows.stages.mine": "gpu",
        "flows.benchmark.benchmark": "gpu",
        "flows.harvest.harvest": "local",
        "flows.push.push": "local",
        "flows.recover.recover": "local",
        "flows.stages.report": "local",
    }
    assert prefect.get("/work_pools/gpu")["concurrency_limit"] is None
    assert deploy(prefect)["pools"] == ["local"]


def test_without_a_server_it_is_said_how_to_start_one(prefect):
    environment = {name: value for name, value in prefect.environment.items() if name != "PREFECT_API_URL"}
    done = subprocess.run([CROSSCHECK, "deploy"], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: Expected a Prefect server in PREFECT_API_URL, found none.")


def test_a_run_whose_process_is_killed_is_started_again_and_goes_on(deployed, tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data)
    number = start(deployed, "cycle/nightly", config)
    folder = Workspace(load_settings(config).workspace).cycle(0)
    wait_for(lambda: folder.exists("import.json"), deployed)
    for process in psutil.Process(deployed.worker).children(recursive=True):
        process.kill()
    wait_for(lambda: folder.exists("done.json"), deployed)
    wait_for(lambda: deployed.get(f"/flow_runs/{number}")["state"]["type"] == "COMPLETED", deployed)
    states = deployed.get(f"/flow_run_states/?flow_run_id={number}")
    names = [state["name"] for state in sorted(states, key=lambda state: state["timestamp"])]
    assert {"Crashed", "AwaitingRetry"} <= set(names)
    assert names[-1] == "Completed"
    # The process and its worker report the crash, one after the other: a second start may follow the first.
    assert 2 <= deployed.get(f"/flow_runs/{number}")["run_count"] <= MOST_STARTS


def test_a_run_that_is_started_again_after_its_end_runs_no_other_cycle(deployed, tiny_data, tmp_path):
    """What happens where Prefect reports a crash twice, and the second start comes after the end of the first."""
    config = write_config(tmp_path, tiny_data)
    flow_run = run(deployed, "cycle/nightly", config)
    workspace = Workspace(load_settings(config).workspace)
    assert workspace.cycles() == [0]
    deployed.find(
        f"/flow_runs/{flow_run['id']}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=True
    )

    def finished():
        found = deployed.get(f"/flow_runs/{flow_run['id']}")
        return found["run_count"] == 2 and found["state"]["type"] == "COMPLETED"

    wait_for(finished, deployed)
    assert workspace.cycles() == [0]


def test_a_cycle_by_its_deployment(deployed, tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data)
    flow_run = run(deployed, "cycle/nightly", config)
    assert flow_run["state"]["type"] == "COMPLETED"
    workspace = Workspace(load_settings(config).workspace)
    assert workspace.cycle(0).exists("done.json")
    written = [name for name in workspace.reports.names() if name.endswith(".html")]
    assert written == ["cycle-0000.html", "index.html", "lead.html"]

    tasks = deployed.find("/task_runs/filter", flow_runs={"id": {"any_": [flow_run["id"]]}})
    learn = ("committee", "finetune", "gate")
    stages = ("import", "harvest", *learn, "mine", "select", "push", "hidden truth", "report")
    assert {task["name"].rsplit("-", 1)[0] for task in tasks} == set(stages)
    artefacts = deployed.find("/artifacts/filter", flow_runs={"id": {"any_": [flow_run["id"]]}})
    assert {artefact["type"] for artefact in artefacts} == {"progress", "markdown", "table", "image"}

    # Between cycles, what was answered comes in by a flow of its own.
    run(deployed, "harvest/hourly", config)
    assert SampleStore(workspace.samples_uri).history()[-1].reason == "harvest of 3 answered images"


def test_a_scheduled_run_waits_for_the_run_before_it_and_a_third_is_skipped(deployed, tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data)
    with only_one(load_settings(config)):
        waiting = start(deployed, "cycle/nightly", config)
        wait_for(lambda: logged(deployed, waiting, "Another run is under way"), deployed)
        skipped = run(deployed, "cycle/nightly", config)
        assert (skipped["state"]["type"], skipped["state"]["name"]) == ("COMPLETED", "Skipped")
        assert "Another cycle waits already" in skipped["state"]["message"]
        assert deployed.get(f"/flow_runs/{waiting}")["state"]["type"] == "RUNNING"
    wait_for(lambda: deployed.get(f"/flow_runs/{waiting}")["state"]["type"] == "COMPLETED", deployed)
    assert Workspace(load_settings(config).workspace).cycle(0).exists("done.json")


def logged(prefect, flow_run, text):
    entries = prefect.find("/logs/filter", logs={"flow_run_id": {"any_": [flow_run]}})
    return any(text in entry["message"] for entry in entries)


def wait_for(condition, prefect):
    deadline = time.monotonic() + LOST_EVENT_S + 300
    while not condition():
        assert time.monotonic() < deadline, (prefect.logs / "worker.log").read_text()[-4000:]
        time.sleep(0.3)
