"""Mining in several processes: the same bytes as in one, whatever the number of workers and whoever of them is lost."""

from __future__ import annotations

import multiprocessing

import pytest

from tests.runners.waiting import mined, waiting


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_find_what_one_finds(learned, tiny_data, tmp_path, workers):
    folder, expected = learned
    seen = []
    settings = waiting(tmp_path, folder, tiny_data, kind="processes", workers=workers)
    assert mined(settings, lambda *done: seen.append(_children())) == expected
    assert max(seen) == workers
    assert not _children()


@pytest.mark.parametrize("before_its_orders", [True, False])
def test_parts_of_a_lost_process_are_mined_again(learned, tiny_data, tmp_path, caplog, before_its_orders):
    folder, expected = learned
    others = set(multiprocessing.active_children())
    killed = []

    def kill_one(_what, done, _total):
        workers = [child for child in multiprocessing.active_children() if child not in others]
        if not killed and workers and (before_its_orders or done):
            killed.append(workers[0])
            killed[0].kill()
            if before_its_orders:
                killed[0].join()

    assert mined(waiting(tmp_path, folder, tiny_data, kind="processes", workers=2), kill_one) == expected
    assert killed
    assert "1 processes were lost; their parts of the pool are done again" in caplog.text


@pytest.mark.slow
def test_what_every_process_fails_at_is_told_once_by_the_first(learned, tiny_data, tmp_path, monkeypatch):
    folder, expected = learned
    settings = waiting(tmp_path, folder, tiny_data, kind="processes", workers=2)
    seen = []
    monkeypatch.setattr("pipeline.stages.mine.parted_mining_again", _fail)
    assert mined(settings, lambda *done: seen.append(_children())) == expected, "this process mined alone"
    assert max(seen) == 2


def _fail(*_: object):
    raise SystemExit(1)


def _children() -> int:
    return len(multiprocessing.active_children())
