"""kill -9 at any moment: the same command goes on, and the versions are those of a run that was never killed."""

from __future__ import annotations

import multiprocessing

import pytest

from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_in_child, selected, versions, write_config

GROWTH = 1.12
"""Each life of the run is longer than the one before, so that it ends."""


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.end_to_end.project"])
    return context


def run(processes, config, cycles, life_s=None) -> bool:
    """Run in a child, killed after a time; tells whether it came to its end."""
    child = processes.Process(target=run_in_child, args=(str(config), cycles))
    child.start()
    child.join(life_s)
    finished = child.exitcode is not None
    if not finished:
        child.kill()
        child.join()
    else:
        assert child.exitcode == 0
    return finished


@pytest.mark.parametrize("first_life_s", [0.4, pytest.param(0.9, marks=pytest.mark.slow)])
def test_a_run_killed_again_and_again_makes_the_same_versions(processes, tiny_data, tmp_path, first_life_s):
    whole = write_config(tmp_path / "whole", tiny_data)
    assert run(processes, whole, 2)
    killed, life, deaths = write_config(tmp_path / "killed", tiny_data), first_life_s, 0
    while not run(processes, killed, 2, life):
        deaths, life = deaths + 1, life * GROWTH
    assert deaths >= 3
    expected, found = load_settings(whole), load_settings(killed)
    assert versions(found) == versions(expected)
    for cycle in (0, 1):
        assert selected(found, cycle) == selected(expected, cycle)
    champions = [Workspace(one.workspace).models.read_json("champion.json") for one in (found, expected)]
    assert champions[0] == champions[1]
