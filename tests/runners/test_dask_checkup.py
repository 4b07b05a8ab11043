"""What `crosscheck doctor` says of a Dask cluster: with each fault, what to do about it."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace

import pytest
from distributed import LocalCluster

from pipeline.cli import checkup
from pipeline.cli.checkup import settled
from pipeline.runners.dask_worker import Installed, installed
from pipeline.settings import RunnerSettings

HERE = installed()


@pytest.fixture(scope="module")
def address():
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=":0") as started:
        yield started.scheduler_address


def found(address):
    settings = RunnerSettings(kind="dask", dask_scheduler=address)
    return settled("dask", lambda: checkup.dask(settings))


def newer_here() -> Installed:
    """Another release in this process than on the workers, which it started."""
    return replace(HERE, torch="9.9") if multiprocessing.parent_process() is None else HERE


def broken() -> Installed:
    raise ModuleNotFoundError("No module named 'pipeline.runners'")


def test_two_workers_that_run_the_same(address):
    (finding,) = found(address)
    assert (finding.state, finding.remedy) == ("ok", "")
    assert finding.found == f"2 workers at {address}, all with {HERE}"


def test_workers_with_another_release_are_named(address, monkeypatch):
    monkeypatch.setattr(checkup, "installed", newer_here)
    findings = found(address)
    assert [finding.state for finding in findings] == ["error", "error"]
    for finding in findings:
        assert finding.found.startswith("worker tcp://")
        assert finding.found.endswith(f"has {HERE}; here it is {replace(HERE, torch='9.9')}")
        assert finding.remedy.startswith("Install the same release")


def test_a_worker_without_crosscheck(address, monkeypatch):
    monkeypatch.setattr(checkup, "installed", broken)
    (finding,) = found(address)
    assert finding.state == "error"
    assert finding.found == "a worker failed: ModuleNotFoundError: No module named 'pipeline.runners'"
    assert "pip install 'crosscheck[dask]'" in finding.remedy


def test_a_scheduler_that_is_not_there(monkeypatch):
    monkeypatch.setattr(checkup, "PATIENCE_S", 1.0)
    (finding,) = found("tcp://127.0.0.1:9")
    assert finding.state == "error"
    assert "Start one with `dask scheduler`, or correct runner.dask_scheduler." in finding.found


def test_a_scheduler_without_a_worker(monkeypatch):
    monkeypatch.setattr(checkup, "PATIENCE_S", 1.0)
    with LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        (finding,) = found(empty.scheduler_address)
    assert finding.state == "error"
    assert f"Start some with `dask worker {empty.scheduler_address}`" in finding.found


def test_without_an_address_a_cycle_starts_its_own():
    (finding,) = found(None)
    assert finding.state == "ok"
    assert "a cycle starts 2 workers on this machine" in finding.found
