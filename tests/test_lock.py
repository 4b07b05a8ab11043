"""The lock of a workspace among real processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from pipeline.errors import AnotherWaits, PipelineError
from pipeline.lock import alone, is_locked, lock_path
from pipeline.workspace import Workspace

LONG_S = 60.0
PROCESSES = multiprocessing.get_context("spawn")


def hold(root, held, release):
    with alone(Workspace(root)):
        held.set()
        release.wait(LONG_S)


@contextmanager
def another_run(root):
    """A process that holds the workspace; yields it and what has it let go."""
    held, release = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(str(root), held, release))
    process.start()
    assert held.wait(LONG_S)
    try:
        yield process, release
    finally:
        if process.is_alive():  # an event waits for ever for one who was killed while waiting for it
            release.set()
        process.join(LONG_S)


def test_nothing_is_locked_at_first_and_asking_leaves_no_file(tmp_path):
    assert not is_locked(Workspace(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_who_does_not_wait_is_refused(tmp_path):
    with another_run(tmp_path):
        assert is_locked(Workspace(tmp_path))
        with pytest.raises(PipelineError, match=r"Another run is under way in .*Wait for its end"):
            alone(Workspace(tmp_path)).__enter__()
    assert not is_locked(Workspace(tmp_path))


def test_who_waits_runs_when_the_other_has_ended_and_says_so(tmp_path, caplog):
    caplog.handler.addFilter(lambda _: waiting.set() or True)
    waiting, ran = Event(), []

    def run():
        with alone(Workspace(tmp_path), LONG_S, "harvest"):
            ran.append(True)

    with another_run(tmp_path) as (_, release):
        waiter = Thread(target=run)
        waiter.start()
        assert waiting.wait(LONG_S)
        assert not ran
        with pytest.raises(AnotherWaits, match="Another harvest waits already"):
            alone(Workspace(tmp_path), LONG_S, "harvest").__enter__()
        release.set()
        waiter.join(LONG_S)
    assert ran
    assert "waiting for its end, 60 s at most" in caplog.text


def test_waiting_has_an_end(tmp_path):
    with another_run(tmp_path), pytest.raises(PipelineError, match=r"still under way in .* after 0 s") as refused:
        alone(Workspace(tmp_path), 0.2, "cycle").__enter__()
    assert not isinstance(refused.value, AnotherWaits)


def test_a_killed_run_holds_nothing(tmp_path):
    with another_run(tmp_path) as (process, _):
        os.kill(process.pid, signal.SIGKILL)
        process.join(LONG_S)
        with alone(Workspace(tmp_path)):
            assert is_locked(Workspace(tmp_path))


def test_a_storage_without_a_lock_is_locked_on_this_machine_and_the_log_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    one, other = Workspace("memory://bucket/one"), Workspace("memory://bucket/other")
    with alone(one), alone(other), pytest.raises(PipelineError, match="memory://"), alone(one):
        pass
    assert lock_path(one).is_relative_to(tmp_path)
    assert "bucket/one: this storage has no lock; runs on this machine alone are kept apart" in caplog.text
