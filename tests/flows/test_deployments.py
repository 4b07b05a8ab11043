"""The deployments, as the README has them: a real server, a real worker, no git and no prompt."""

from __future__ import annotations

import re
import time

import pytest

from pipeline.cycle import only_one
from pipeline.dataset.store import SampleStore
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import write_config


@pytest.fixture(scope="module")
def deployed(prefect):
    """Every deployment of `prefect.yaml` made, and a worker at work."""
    for command in (
        ("work-pool", "create", "local", "--type", "process", "--overwrite"),
        ("--no-prompt", "deploy", "--all"),
    ):
        made = prefect.run(*command)
        assert made.returncode == 0, made.stdout + made.stderr
    with prefect.background("worker", "worker", "start", "--pool", "local"):
        yield prefect


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


def test_the_schedule_is_nightly_and_nothing_but_the_workspace_limits_runs(deployed):
    nightly = deployed.get("/deployments/name/cycle/nightly")
    (schedule,) = nightly["schedules"]
    assert schedule["active"]
    assert schedule["schedule"]["cron"] == "0 2 * * *"
    assert nightly["parameters"] == {"config": "configs/production.yaml", "wait_s": 43200}
    for deployment in deployed.find("/deployments/filter"):
        assert deployment["parameters"]["wait_s"] > 0, "who waits for the workspace needs no limit"
        assert deployment["global_concurrency_limit"] is None, "a limit ends healthy runs when the server restarts"
    assert deployed.get("/work_pools/local")["concurrency_limit"] is None
    names = {entry["name"] for entry in deployed.find("/flows/filter")}
    assert names == {"cycle", "harvest", "finetune", "mine", "push", "report"}


def test_a_cycle_by_its_deployment(deployed, tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data)
    flow_run = run(deployed, "cycle/nightly", config)
    assert flow_run["state"]["type"] == "COMPLETED"
    workspace = Workspace(load_settings(config).workspace)
    assert workspace.cycle(0).exists("done.json")
    assert workspace.reports.names() == ["cycle-0000.html", "index.html"]

    tasks = deployed.find("/task_runs/filter", flow_runs={"id": {"any_": [flow_run["id"]]}})
    stages = ("import", "harvest", "finetune", "gate", "mine", "select", "push", "hidden truth", "report")
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
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline, (prefect.logs / "worker.log").read_text()[-4000:]
        time.sleep(0.3)
