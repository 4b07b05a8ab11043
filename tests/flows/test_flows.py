"""The flows in this process: single stages, what a kill leaves, and a network that is down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stamina

import flows.stages
import flows.tasks
from flows.cycle import cycle
from flows.push import push
from pipeline.errors import PipelineError, RemoteError
from pipeline.settings import load_settings
from pipeline.stages.cycle import only_one
from pipeline.workspace import Workspace
from tests.end_to_end.project import labeled_sources, pool_source, selected, write_config

CROSSCHECK = Path(sys.executable).with_name("crosscheck")


def test_stage_by_stage_is_a_cycle(prefect, tiny_data, tmp_path):
    config = str(write_config(tmp_path / "stages", tiny_data))
    trained = flows.stages.finetune(config)
    assert trained["cycle"] == 0
    assert trained["gate"]["promoted"]
    mined = flows.stages.mine(config)
    assert mined["mine"]["images"] == 12
    assert push(config)["created"] == 3
    assert push(config)["existing"] == 3
    told = flows.stages.report(config)
    assert Path(told["report"]["report"]).is_file()
    assert cycle(config)["cycle"] == 0, "the cycle finishes what its stages began"
    settings = load_settings(config)
    assert Workspace(settings.workspace).cycle(0).exists("done.json")
    with only_one(settings), pytest.raises(PipelineError, match="Another run is under way"):
        cycle(config)


def test_a_killed_cycle_finds_the_results_of_what_was_finished(prefect, tiny_data, tmp_path):
    config = write_config(tmp_path / "killed", tiny_data)
    command = [CROSSCHECK, "cycle", "--config", config]
    folder = Workspace(load_settings(config).workspace).cycle(0)
    process = subprocess.Popen(command, env=prefect.environment, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not folder.exists("metrics.json"):
        assert process.poll() is None, "the cycle ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not folder.exists("done.json")

    done = subprocess.run(command, env=prefect.environment, timeout=300, capture_output=True, text=True, check=True)
    report = done.stdout.strip().splitlines()[-1]
    assert Path(report).name == "cycle-0000.html"
    assert Path(report).is_file()
    runs = prefect.find("/flow_runs/filter", sort="START_TIME_DESC", limit=1)
    tasks = prefect.find("/task_runs/filter", flow_runs={"id": {"any_": [runs[0]["id"]]}})
    states = {task["name"].rsplit("-", 1)[0]: task["state_name"] for task in tasks}
    assert [states[name] for name in ("import", "harvest", "finetune")] == ["Cached"] * 3
    assert states["report"] == "Completed"

    whole = write_config(tmp_path / "whole", tiny_data)
    cycle(str(whole))
    assert selected(load_settings(whole), 0) == selected(load_settings(config), 0)


def test_a_server_that_is_down_is_tried_again_and_the_cycle_goes_on(prefect, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "not-a-real-token")
    config = write_config(
        tmp_path,
        tiny_data,
        data={"sources": [*labeled_sources(tiny_data), pool_source(tiny_data)]},
        labeling={
            "backend": "label_studio",
            "label_studio": {"url": "http://127.0.0.1:9", "document_root": str(tiny_data)},
        },
    )
    for task in (flows.tasks.harvest_task, flows.tasks.push_task):
        monkeypatch.setattr(task, "retry_delay_seconds", [0, 0, 0])
    with stamina.set_testing(True, attempts=2):
        told = cycle(str(config))
    folder = Workspace(load_settings(config).workspace).cycle(0)
    assert "127.0.0.1:9" in folder.read_json("push.json")["failed"]
    tasks = prefect.find("/task_runs/filter", sort="END_TIME_DESC", limit=9)
    attempts = {task["name"].rsplit("-", 1)[0]: task["run_count"] for task in tasks}
    assert attempts["push"] == 4
    assert attempts["finetune"] == 1
    page = Path(told["report"]).read_text()
    assert "127.0.0.1:9" in page
    assert "not-a-real-token" not in page


@pytest.mark.filterwarnings("ignore:Logger 'prefect.task_runs' attempted to send logs")
def test_only_a_network_that_failed_is_tried_again(prefect):
    def attempts(fault: Exception) -> int:
        made = []

        @flows.tasks.task(**{**flows.tasks.RETRIED, "retry_delay_seconds": [0, 0, 0]})
        def failing() -> None:
            made.append(1)
            raise fault

        with pytest.raises(type(fault)):
            failing()
        return len(made)

    assert attempts(RemoteError("503")) == 4
    assert attempts(PipelineError("a bad file")) == 1
    assert attempts(OSError("a full disk")) == 1
