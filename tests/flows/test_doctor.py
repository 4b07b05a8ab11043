"""What `crosscheck doctor` says of a real Prefect server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx

from pipeline.cli.checkup import prefect as look
from scripts.label_studio import free_port
from tests.end_to_end.project import write_config
from tests.flows.conftest import PROJECT
from tests.flows.test_deployments import wait_for

CROSSCHECK = Path(sys.executable).with_name("crosscheck")


def doctor(prefect, config):
    done = subprocess.run(
        [CROSSCHECK, "doctor", "--json", "--config", config], cwd=PROJECT, env=prefect.environment,
        capture_output=True, text=True,
    )  # fmt: skip
    return {finding["subject"]: finding for finding in json.loads(done.stdout)}


def test_a_server_that_has_the_deployments_and_one_that_is_down(prefect, tiny_data, tmp_path):
    deployed = subprocess.run(
        [CROSSCHECK, "deploy"], cwd=PROJECT, env=prefect.environment, capture_output=True, text=True
    )
    assert deployed.returncode == 0, deployed.stderr
    config = write_config(tmp_path, tiny_data)
    # The server schedules the runs of new deployments a few seconds later.
    wait_for(lambda: doctor(prefect, config)["prefect"]["state"] == "ok", prefect)
    found = doctor(prefect, config)
    assert found["prefect"] == {
        "subject": "prefect", "state": "ok", "found": f"{prefect.url} answers", "remedy": "",
    }  # fmt: skip
    assert found["clock"]["state"] == "ok"
    (down,) = look(f"http://127.0.0.1:{free_port()}/api")
    assert down.state == "error"
    assert "prefect server start" in down.remedy


def test_a_server_that_schedules_nothing(prefect, monkeypatch):
    answers = {"deployments": [{"schedules": [{"active": True}]}, {"schedules": []}], "flow_runs": []}
    post = httpx.post

    def scheduling_nothing(url, **options):
        kind = url.split("/")[-2]
        return httpx.Response(200, json=answers[kind]) if kind in answers else post(url, **options)

    monkeypatch.setattr(httpx, "post", scheduling_nothing)
    (found, *_) = look(prefect.url)
    assert found.state == "error"
    assert "has scheduled no run of 1 deployments" in found.found
    assert "server's log" in found.remedy
