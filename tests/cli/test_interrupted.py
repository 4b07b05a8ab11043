"""A cycle from the command line that is interrupted or killed: one line, and no process stays behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import write_config

PROGRESS = re.compile(r" \d+/\d+ ")
CROSSCHECK = Path(sys.executable).with_name("crosscheck")


def members(group):
    """Processes of a group that still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@pytest.fixture
def training(tiny_data, tmp_path):
    """A command in the middle of training, with no Prefect server named."""
    config = write_config(tmp_path, tiny_data, training={"steps": 100_000})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    process = subprocess.Popen(
        [CROSSCHECK, "cycle", "--config", config], env=environment, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    folder = Workspace(load_settings(config).workspace).cycle(0)
    deadline = time.monotonic() + 200
    while not any(name.startswith("checkpoint") for name in folder.names()):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, folder.names()
        time.sleep(0.1)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_ctrl_c_ends_in_one_line(training):
    os.killpg(training.pid, signal.SIGINT)  # as a terminal does, to every process of the command
    _, errors = training.communicate(timeout=300)
    assert training.returncode == 130
    lines = [line for line in errors.splitlines() if line.strip() and not PROGRESS.search(line)]
    assert lines == ["interrupted: what is finished is kept, the same command goes on from there."]
    assert members(training.pid) == []


@pytest.mark.parametrize("fault", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_command_leaves_no_process(training, fault):
    training.send_signal(fault)
    training.wait(60)
    deadline = time.monotonic() + 60
    while members(training.pid):
        assert time.monotonic() < deadline, members(training.pid)
        time.sleep(0.1)
