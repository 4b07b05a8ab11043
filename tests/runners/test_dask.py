"""Mining on a Dask cluster: the same bytes as in one process, whatever the number of workers and whoever is lost."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from pipeline.errors import DataError, RemoteError, SettingsError
from pipeline.loop import begin_cycle
from pipeline.mining.miner import Miner
from pipeline.mining.parts import PartedMining
from pipeline.runners.dask_cluster import connected, connection_guard
from pipeline.settings import load_settings
from pipeline.stages import mine as stage
from tests.end_to_end.project import write_config
from tests.runners.waiting import mined, waiting


@pytest.fixture(scope="module")
def cluster():
    """Four processes with two threads each, as somebody else may have started them."""
    with LocalCluster(n_workers=4, threads_per_worker=2, memory_limit=0, dashboard_address=":0") as started:
        yield started


@pytest.fixture
def elsewhere(learned, cluster, tiny_data, tmp_path):
    """Settings of a project that is mined by the cluster, and what one process finds."""
    folder, expected = learned
    return waiting(tmp_path, folder, tiny_data, kind="dask", dask_scheduler=cluster.scheduler_address), expected


@pytest.fixture
def once(cluster):
    """Parts are not handed to another worker after the first is lost, so that rounds are seen."""
    before, cluster.scheduler.allowed_failures = cluster.scheduler.allowed_failures, 0
    yield
    cluster.scheduler.allowed_failures = before


@dataclass(frozen=True)
class Deadly:
    """A miner whose process dies of SIGKILL while it mines: the first that makes the file, or every one."""

    miner: Miner
    file: Path | None

    def mine(self, *arguments):
        try:
            if self.file is not None:
                self.file.open("x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        except FileExistsError:
            return self.miner.mine(*arguments)


def deadly(again, file, *place) -> PartedMining:
    mining = again(*place)
    return replace(mining, miners=[Deadly(miner, file) for miner in mining.miners])


def refusing(*_place):
    raise DataError("no such bucket.")


def processes() -> set[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return {child for child in children if "resource_tracker" not in str(child.cmdline())}


def test_a_cluster_of_its_own_finds_what_one_process_finds_and_ends(learned, tiny_data, tmp_path):
    folder, expected = learned
    before, most = processes(), []
    settings = waiting(tmp_path, folder, tiny_data, kind="dask", workers=2)
    assert mined(settings, lambda *_: most.append(len(processes() - before))) == expected
    assert max(most) == 2
    assert processes() <= before


def test_a_cluster_at_an_address_finds_what_one_process_finds(elsewhere, cluster):
    settings, expected = elsewhere
    assert mined(settings) == expected
    assert len(cluster.scheduler.workers) == 4
    assert not cluster.scheduler.tasks, "nothing is left there"


def test_the_part_of_a_lost_worker_is_mined_by_another(elsewhere, monkeypatch, tmp_path):
    settings, expected = elsewhere
    died = tmp_path / "died"
    monkeypatch.setattr(stage, "parted_mining_again", partial(deadly, stage.parted_mining_again, died))
    assert mined(settings) == expected
    assert died.exists()


def test_parts_that_dask_gives_up_are_handed_out_once_more(elsewhere, once, monkeypatch, tmp_path, caplog):
    settings, expected = elsewhere
    monkeypatch.setattr(stage, "parted_mining_again", partial(deadly, stage.parted_mining_again, tmp_path / "died"))
    assert mined(settings) == expected
    assert "Dask lost workers with" in caplog.text


def test_parts_that_end_every_worker_end_the_run(elsewhere, once, monkeypatch):
    settings, _ = elsewhere
    monkeypatch.setattr(stage, "parted_mining_again", partial(deadly, stage.parted_mining_again, None))
    with pytest.raises(RemoteError, match=r"Dask lost several workers with each of 4 parts .* lower mining.batch_size"):
        mined(settings)


def test_what_workers_cannot_reach_is_said_with_what_they_need(elsewhere, monkeypatch):
    settings, _ = elsewhere
    monkeypatch.setattr(stage, "parted_mining_again", refusing)
    with pytest.raises(RemoteError, match=r"DataError: no such bucket. Each worker needs .* must reach .*/workspace/"):
        mined(settings)


def test_a_scheduler_that_is_not_there():
    with (
        pytest.raises(RemoteError, match=r"Expected a Dask scheduler at tcp://127.0.0.1:9, got: .* `dask scheduler`"),
        connected("tcp://127.0.0.1:9", 1, patience_s=1.0),
    ):
        pass


def test_a_scheduler_without_a_worker():
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(RemoteError, match=r"Expected a worker at .* found none. Start some with `dask worker tcp://"),
        connected(empty.scheduler_address, 1, patience_s=0.1),
    ):
        pass


def test_a_scheduler_that_is_lost():
    with (
        LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=":0") as started,
        pytest.raises(RemoteError, match=r"scheduler at tcp://.* was lost. Start it again, then run again"),
    ):
        lose(started)


def lose(started):
    with connected(started.scheduler_address, 1) as cluster, connection_guard(cluster):
        sleeping = cluster.submit(time.sleep, 30)
        started.close()
        cluster.finished([sleeping])


def test_without_the_extra_no_cycle_begins(tiny_data, tmp_path, monkeypatch):
    settings = load_settings(write_config(tmp_path, tiny_data, runner={"kind": "dask"}))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"pip install 'crosscheck\[dask\]'"):
        begin_cycle(settings)
    assert not Path(settings.workspace).exists()
