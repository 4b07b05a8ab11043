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
from flows.cycle import cycle
from flows.push import push
from pipeline.artefacts import GateOutcome, MiningRun, PushRun, ReportRun
from pipeline.cycle import load_cycle, only_one
from pipeline.errors import PipelineError
from pipeline.report import summarize
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import labeled_sources, pool_source, selected, write_config

CROSSCHECK = Path(sys.executable).with_name("crosscheck")


def test_stage_by_stage_is_a_cycle(prefect, tiny_data, tmp_path):
    config = str(write_config(tmp_path / "stages", tiny_data))
    assert flows.stages.finetune(config) == 0
    current = load_cycle(load_settings(config).workspace, 0)
    assert current.read(GateOutcome).promoted
    assert flows.stages.mine(config) == 0
    assert current.read(MiningRun).images == 12
    assert push(config)["created"] == 3
    assert push(config)["existing"] == 3
    assert flows.stages.report(config) == 0
    assert Path(current.read(ReportRun).page).is_file()
    shown = prefect.find("/artifacts/latest/filter", artifacts={"key": {"any_": ["cycle-summary"]}})
    assert [artefact["data"] for artefact in shown] == [summarize(current).markdown]
    assert cycle(config)["cycle"] == 0, "the cycle finishes what its stages began"
    settings = load_settings(config)
    assert Workspace(settings.workspace).cycle(0).exists("done.json")
    with only_one(settings), pytest.raises(PipelineError, match="Another run is under way"):
        cycle(config)


def test_a_killed_cycle_goes_on_where_it_was(prefect, tiny_data, tmp_path):
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
    trained = folder.read_bytes("training.json")

    done = subprocess.run(command, env=prefect.environment, timeout=300, capture_output=True, text=True, check=True)
    report = done.stdout.strip().splitlines()[-1]
    assert Path(report).name == "cycle-0000.html"
    assert Path(report).is_file()
    assert folder.read_bytes("training.json") == trained, "what was finished is not done again"

    whole = write_config(tmp_path / "whole", tiny_data)
    cycle(str(whole))
    assert selected(load_settings(whole), 0) == selected(load_settings(config), 0)


def test_a_server_that_is_down_is_noted_and_the_cycle_goes_on(prefect, tiny_data, tmp_path, monkeypatch):
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
    with stamina.set_testing(True, attempts=2):
        outcome = cycle(str(config))
    assert "127.0.0.1:9" in load_cycle(load_settings(config).workspace, 0).read(PushRun).failed
    tasks = prefect.find("/task_runs/filter", sort="END_TIME_DESC", limit=9)
    states = {task["name"].rsplit("-", 1)[0]: task["state_name"] for task in tasks}
    assert {name for name, state in states.items() if state == "Failed"} == {"harvest", "push"}
    assert {task["run_count"] for task in tasks} == {1}, "the client alone retries"
    page = Path(outcome["report"]).read_text()
    assert "127.0.0.1:9" in page
    assert "not-a-real-token" not in page
