"""kill -9 at any moment: the same command goes on, and the versions are those of a run that was never killed."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import signal
from contextlib import suppress
from itertools import count
from pathlib import Path

import psutil
import pytest

from pipeline.dataset import delta
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_in_child, selected, versions, write_config

STAGES = [f"pipeline.stages.{name}" for name in ("finetune", "gate", "mine", "select", "push", "report")]
"""What takes long to import, for processes that live no longer than a few seconds."""
GROWTH = 1.4
"""Each life of a run that is killed by the clock is longer than the one before, so that it ends."""


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.end_to_end.project", "torch", "torchvision", "timm", *STAGES])
    return context


@pytest.fixture(scope="module")
def cpu_seconds():
    """What the undisturbed run took."""
    return []


@pytest.fixture(scope="module")
def undisturbed(processes, tiny_data, tmp_path_factory, cpu_seconds):
    config = write_config(tmp_path_factory.mktemp("whole"), tiny_data)
    cpu_seconds.append(cpu_time_of(processes.Process, str(config), 2))
    return load_settings(config)


def run_to_write(config: str, cycles: int, last: int, finished: bool) -> None:
    """Run, and die of SIGKILL at the file or table write of this number: right after it, or right before it shows."""
    numbers = count(1)

    def deadly(write):
        def write_and_die(*args, **kwargs):
            number = next(numbers)
            if number == last and not finished:
                os.kill(os.getpid(), signal.SIGKILL)
            result = write(*args, **kwargs)
            if number == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return write_and_die

    Path.replace = deadly(Path.replace)
    delta.create_table_with_add_actions = deadly(delta.create_table_with_add_actions)
    delta.DeltaTable.create_write_transaction = deadly(delta.DeltaTable.create_write_transaction)
    run_in_child(config, cycles)


def cpu_time_of(process, *arguments) -> float:
    """CPU seconds of a child that runs to its end."""
    child = process(target=run_in_child, args=arguments)
    child.start()
    used = watched(child, math.inf)
    assert child.exitcode == 0
    return used


def watched(child, seconds: float) -> float:
    """Wait for a child's end, and kill it after so many seconds of CPU time; returns what it used.

    CPU time, unlike the clock, passes in a run as fast on a busy machine as on an idle one.
    """
    of_child, used = psutil.Process(child.pid), 0.0
    while child.exitcode is None:
        with suppress(psutil.Error):
            used = sum(of_child.cpu_times()[:2])
        if used >= seconds:
            child.kill()
        child.join(0.01)
    return used


def assert_equal(killed, undisturbed):
    assert versions(killed) == versions(undisturbed)
    for cycle in (0, 1):
        assert selected(killed, cycle) == selected(undisturbed, cycle)
    champions = [Workspace(each.workspace).models.read_json("champion.json") for each in (killed, undisturbed)]
    assert champions[0] == champions[1]


def test_a_run_killed_at_its_writes_makes_the_same_versions(processes, undisturbed, tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data)
    for life in count():
        # Later lives get further, since what a life has not finished is written again by the next.
        child = processes.Process(target=run_to_write, args=(str(config), 2, life + 1, life % 2 == 0))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert life >= 8
    assert_equal(load_settings(config), undisturbed)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_runs_killed_at_random_moments_make_the_same_versions(
    processes, undisturbed, cpu_seconds, tiny_data, tmp_path, kills
):
    chance, deaths, run = random.Random(22), 0, 0
    while deaths < kills:
        config, ended = write_config(tmp_path / str(run), tiny_data), False
        while not ended:
            # Every life begins where the one before was killed, so that short ones meet every part of a run.
            share = chance.uniform(0.05, 2.0) / min(kills, 8)
            child = processes.Process(target=run_in_child, args=(str(config), 2))
            child.start()
            watched(child, share * cpu_seconds[0] if deaths < kills else math.inf)
            assert child.exitcode in {0, -signal.SIGKILL}
            ended = child.exitcode == 0
            deaths += not ended
        assert_equal(load_settings(config), undisturbed)
        run += 1
    assert deaths == kills


@pytest.mark.slow
def test_a_run_killed_by_the_clock_makes_the_same_versions(processes, undisturbed, tiny_data, tmp_path):
    config, life_s, deaths = write_config(tmp_path, tiny_data), 0.9, 0
    while True:
        child = processes.Process(target=run_in_child, args=(str(config), 2))
        child.start()
        child.join(life_s)
        if child.exitcode is not None:
            break
        child.kill()
        child.join()
        life_s, deaths = life_s * GROWTH, deaths + 1
    assert child.exitcode == 0
    assert deaths >= 3, "the run ended before it was killed often"
    assert_equal(load_settings(config), undisturbed)
