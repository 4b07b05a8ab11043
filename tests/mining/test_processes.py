"""Mining in several processes: the same bytes as in one, whatever the number of workers and whoever of them is lost."""

from __future__ import annotations

import multiprocessing
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.cycle import open_cycle
from pipeline.labeling.annotators import labeling_backend
from pipeline.loop import FINETUNE, GATE, HARVEST, IMPORT, MINE, Surroundings, run_steps
from pipeline.settings import load_settings
from tests.end_to_end.project import write_config

TABLES = ("proposals.parquet", "checks.parquet", "held_back_proposals.parquet", "held_back_checks.parquet")
AROUND = Surroundings(lambda settings: labeling_backend(settings, None))


def mining(runner: str, workers: int = 1) -> dict:
    return {"mining": {"chunk_images": 3, "runner": runner, "workers": workers}}


@pytest.fixture(scope="module")
def learned(tiny_data, tmp_path_factory):
    """A cycle whose pool waits to be mined, and what one process finds there."""
    folder = tmp_path_factory.mktemp("learned")
    settings = load_settings(write_config(folder, tiny_data, training={"steps": 12}, **mining("local")))
    run_steps(open_cycle(settings, datetime.now(UTC)), (IMPORT, HARVEST, FINETUNE, GATE), AROUND)
    shutil.copytree(settings.workspace, folder / "waiting")
    return folder / "waiting", mined(settings)


def mined(settings, progress=lambda what, done, total: None):
    cycle = open_cycle(settings, datetime.now(UTC))
    run_steps(cycle, (MINE,), Surroundings(AROUND.annotators, progress))
    return {name: cycle.folder.read_bytes(name) for name in TABLES}


def waiting(folder: Path, waiting: Path, tiny_data: Path, workers: int):
    config = write_config(folder, tiny_data, training={"steps": 12}, **mining("processes", workers))
    shutil.copytree(waiting, folder / "workspace")
    return load_settings(config)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_find_what_one_finds(learned, tiny_data, tmp_path, workers):
    folder, expected = learned
    seen = []
    found = mined(waiting(tmp_path, folder, tiny_data, workers), lambda *done: seen.append(_children()))
    assert found == expected
    assert max(seen) == workers
    assert not _children()


def test_parts_of_a_lost_process_are_mined_again(learned, tiny_data, tmp_path, caplog):
    folder, expected = learned
    killed = []

    def kill_one(_what, _done, _total):
        if not killed and _children():
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()

    assert mined(waiting(tmp_path, folder, tiny_data, 2), kill_one) == expected
    assert killed
    assert "1 of 2 mining processes were lost; their parts are mined again" in caplog.text


@pytest.mark.slow
def test_what_every_process_fails_at_is_told_once_by_the_first(learned, tiny_data, tmp_path, monkeypatch):
    folder, expected = learned
    settings = waiting(tmp_path, folder, tiny_data, 2)
    seen = []
    monkeypatch.setattr("pipeline.stages.mine._parted_again", _fail)
    assert mined(settings, lambda *done: seen.append(_children())) == expected, "this process mined alone"
    assert max(seen) == 2


def _fail(*_: object):
    raise SystemExit(1)


def _children() -> int:
    return len(multiprocessing.active_children())
