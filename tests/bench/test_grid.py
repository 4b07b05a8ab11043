from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.bench.grid import Grid, Taken, claim
from pipeline.errors import ArtefactError
from pipeline.folder import Folder

SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Result:
    MADE_BY: ClassVar[str] = "crosscheck bench fake"

    cell: str
    value: float | None
    parts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Cell:
    """Notes that it was measured in the file `log`."""

    name: str
    log: Path
    fault: str = ""

    def measure(self, progress):
        with self.log.open("a") as file:
            file.write(f"{self.name}\n")
        if self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault:
            raise RuntimeError(self.fault)
        progress("step", 1, 1)
        return result(self.name)


def result(name):
    return Result(name, None if name == "a" else 0.5, {"x": (1, 2), "y": ()})


@pytest.fixture
def grid(tmp_path):
    return Grid(tmp_path / "results", Result)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def cells(log):
    return [Cell(name, log) for name in ("b", "a", "c")]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("pipeline.bench.grid.POLL_S", 0.01)


def measured(log):
    return log.read_text().split() if log.exists() else []


def files(grid):
    return sorted(path.name for path in grid.folder.iterdir())


# One process


def test_a_grid_without_cells_has_no_results(grid):
    assert grid.run([]) == []
    assert grid.results() == {}


def test_every_cell_is_one_file_that_reads_back_as_its_record(grid, cells):
    told = []
    results = grid.run(cells, lambda *progress: told.append(progress))
    assert results == [result("b"), result("a"), result("c")], "in the order of the cells"
    assert grid.results() == {name: result(name) for name in ("a", "b", "c")}
    assert files(grid) == ["a.json", "b.json", "c.json"], "no lock is left"
    assert [one for one in told if one[0] == "cells"] == [("cells", done, 3) for done in (1, 2, 3)]
    assert told.count(("step", 1, 1)) == 3


def test_finished_cells_are_read_and_new_ones_are_measured(grid, cells, log):
    grid.run(cells[:2])
    assert grid.run(cells) == [result("b"), result("a"), result("c")]
    assert measured(log) == ["b", "a", "c"]


def test_equal_cells_are_measured_once(grid, cells, log):
    assert grid.run([*cells, cells[0]])[3] == result("b")
    assert measured(log) == ["b", "a", "c"]


def test_a_cell_that_fails_costs_no_other(grid, cells, log):
    broken = Cell("a", log, fault="no luck")
    with pytest.raises(RuntimeError, match="no luck"):
        grid.run([cells[0], broken, cells[2]])
    assert grid.results().keys() == {"b"}
    grid.run(cells)
    assert measured(log) == ["b", "a", "a", "c"]
    assert files(grid) == ["a.json", "b.json", "c.json"]


def test_a_damaged_result_is_named_with_the_command_that_makes_it(grid, cells):
    grid.run(cells)
    (grid.folder / "a.json").write_text('{"cell": "a"}')
    with pytest.raises(ArtefactError, match=r"a\.json: expected a Result, got .*value.*crosscheck bench fake"):
        grid.run(cells)


def test_a_cell_that_needs_what_another_process_makes_is_put_off(grid, cells, log, impatient):
    @dataclass(frozen=True)
    class Needy(Cell):
        def measure(self, progress):
            if len(measured(log)) < 2:
                raise Taken("its detector is being trained")
            return super().measure(progress)

    assert grid.run([Needy("n", log), *cells[:2]]) == [result("n"), result("b"), result("a")]
    assert measured(log) == ["b", "a", "n"]


# Several processes


def hold(lock, held, release, finish):
    with claim(Path(lock)):
        held.set()
        release.wait(60)
        if finish:
            Folder(Path(lock).parent).write_record("a.json", result("a"))


@pytest.fixture
def holder(grid):
    """Starts another process that holds cell `a`."""
    processes = []

    def start(finish):
        held, release = SPAWN.Event(), SPAWN.Event()
        process = SPAWN.Process(target=hold, args=(grid.folder / "a.lock", held, release, finish))
        process.start()
        processes.append(process)
        assert held.wait(60)
        return process, release

    yield start
    for process in processes:
        process.kill()
        process.join()


def test_a_cell_of_another_process_is_skipped_then_awaited(grid, cells, log, holder, impatient):
    _, release = holder(finish=True)
    waiting = threading.Event()
    results = []

    def progress(what, _done, _total):
        if what == "cells of other processes":
            waiting.set()

    runner = threading.Thread(target=lambda: results.extend(grid.run(cells, progress)))
    runner.start()
    assert waiting.wait(60), "nothing else is left"
    assert measured(log) == ["b", "c"]
    release.set()
    runner.join(60)
    assert results == [result("b"), result("a"), result("c")]
    assert measured(log) == ["b", "c"], "the other process measured it"


def test_a_killed_process_holds_nothing(grid, cells, log, holder, impatient):
    process, _ = holder(finish=False)
    with pytest.raises(Taken, match="Another process works on a"), claim(grid.folder / "a.lock"):
        pass
    process.kill()
    process.join()
    grid.run(cells)
    assert measured(log) == ["b", "a", "c"]


def run_in_child(folder, cells):
    Grid(Path(folder), Result).run(cells)


def test_a_killed_benchmark_goes_on(grid, cells, log):
    doomed = [cells[0], Cell("a", log, fault="killed"), cells[2]]
    process = SPAWN.Process(target=run_in_child, args=(grid.folder, doomed))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert grid.run(cells) == [result("b"), result("a"), result("c")]
    assert measured(log) == ["b", "a", "a", "c"]
    assert files(grid) == ["a.json", "b.json", "c.json"]


def test_processes_share_the_work(grid, log):
    cells = [Cell(f"cell-{number}", log) for number in range(20)]
    processes = [SPAWN.Process(target=run_in_child, args=(grid.folder, cells)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert set(Counter(measured(log)).values()) == {1}
    assert len(grid.results()) == 20
