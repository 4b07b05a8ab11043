"""The lock of a workspace on S3 among real processes, each of which may be on a machine of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from filelock import Timeout

from pipeline.dataset.store import SampleStore
from pipeline.errors import AnotherWaits, PipelineError, RemoteError
from pipeline.lease import Lease
from pipeline.lock import LEASE, alone, is_locked
from pipeline.workspace import Workspace
from tests.builders import sample

LONG_S = 60.0
SHORT_S = 3.0
PROCESSES = multiprocessing.get_context("spawn")


def hold(root, held, release):
    with alone(Workspace(root)):
        held.set()
        release.wait(LONG_S)


def hold_shortly(root, held, release):
    lease = Lease(f"{root}/{LEASE}", SHORT_S)
    lease.acquire(0.0, 0.1)
    held.set()
    release.wait(LONG_S)
    lease.release()


@contextmanager
def another_run(root, run=hold):
    """A process that holds the workspace; yields it and what has it let go."""
    held, release = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=run, args=(root, held, release))
    process.start()
    assert held.wait(LONG_S)
    try:
        yield process, release
    finally:
        if process.is_alive():  # an event waits for ever for one who was killed while waiting for it
            release.set()
        process.join(LONG_S)


def objects(s3, root, lease=LEASE):
    bucket, prefix = root.removeprefix("s3://").split("/", 1)
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/{lease}/").get("Contents", [])
    return [each["Key"].rsplit("/", 1)[-1] for each in found]


def test_nothing_is_locked_at_first_and_asking_leaves_no_object(root, s3):
    assert not is_locked(Workspace(root))
    assert objects(s3, root) == []


def test_who_does_not_wait_is_refused_and_told_who_holds_it(root):
    with another_run(root) as (process, _):
        assert is_locked(Workspace(root))
        refusal = rf"Another run is under way in s3://.* on .*, process {process.pid};.* Wait for its end"
        with pytest.raises(PipelineError, match=refusal):
            alone(Workspace(root)).__enter__()
    assert not is_locked(Workspace(root))
    with alone(Workspace(root)):
        pass


def test_who_waits_runs_when_the_other_has_ended_and_says_so(root, caplog, s3):
    caplog.handler.addFilter(lambda record: waiting.set() or True if "waiting" in record.message else True)
    waiting, ran = Event(), []

    def run():
        with alone(Workspace(root), LONG_S, "harvest"):
            ran.append(True)

    with another_run(root) as (_, release):
        waiter = Thread(target=run)
        waiter.start()
        assert waiting.wait(LONG_S)
        assert not ran
        with pytest.raises(AnotherWaits, match="Another harvest waits already"):
            alone(Workspace(root), LONG_S, "harvest").__enter__()
        release.set()
        waiter.join(LONG_S)
    assert ran
    assert "waiting for its end, 60 s at most" in caplog.text
    assert len(objects(s3, root)) == 1, "what was is removed"


def test_waiting_has_an_end(root):
    with another_run(root), pytest.raises(PipelineError, match=r"still under way in .* after 0 s") as refused:
        alone(Workspace(root), 0.2, "cycle").__enter__()
    assert not isinstance(refused.value, AnotherWaits)


def take_by_turns(root, go, turns, outcome):
    """Take the lock as often as wanted, and see each time that nobody else has it."""
    place, overlaps = Workspace(root), 0
    go.wait(LONG_S)
    for _ in range(turns):
        lease = Lease(f"{root}/{LEASE}")
        lease.acquire(LONG_S, 0.01)
        overlaps += place.exists("inside")
        place.write_bytes("inside", b"")
        place.remove("inside")
        lease.release()
    outcome.put(overlaps)


def test_of_several_that_take_it_at_once_one_holds_it_at_a_time(root):
    go, outcome = PROCESSES.Event(), PROCESSES.Queue()
    runs = [PROCESSES.Process(target=take_by_turns, args=(root, go, 5, outcome)) for _ in range(3)]
    for run in runs:
        run.start()
    go.set()
    assert [outcome.get(timeout=300) for _ in runs] == [0, 0, 0]
    for run in runs:
        run.join(LONG_S)


def test_a_holder_that_lives_keeps_it_beyond_its_seconds(root):
    with another_run(root, hold_shortly), pytest.raises(Timeout):
        Lease(f"{root}/{LEASE}").acquire(3 * SHORT_S, 0.2)


def test_a_killed_holder_keeps_it_until_it_runs_out_and_no_longer(root, s3):
    with another_run(root, hold_shortly) as (process, _):
        os.kill(process.pid, signal.SIGKILL)
        process.join(LONG_S)
        killed = time.monotonic()
        with pytest.raises(Timeout):
            Lease(f"{root}/{LEASE}").acquire(0.0, 0.1)
        other = Lease(f"{root}/{LEASE}")
        other.acquire(LONG_S, 0.1)
    # It was renewed half a second before at the earliest, and the store counts whole seconds.
    assert time.monotonic() - killed >= SHORT_S - SHORT_S / 6 - 1
    other.release()
    assert len(objects(s3, root)) == 1


def test_clocks_of_machines_need_not_agree(root, monkeypatch):
    """What is read of this machine's clock decides nothing about a lock that others hold."""
    with another_run(root):
        monkeypatch.setattr(time, "time", lambda: 4e9)
        with pytest.raises(Timeout):
            Lease(f"{root}/{LEASE}").acquire(0.0, 0.1)


def take_over(root, s3):
    """As if this process had slept, and another had taken its lock meanwhile."""
    bucket, prefix = root.removeprefix("s3://").split("/", 1)
    number = int(objects(s3, root)[-1]) + 1
    body = json.dumps({"token": "another", "holder": "ann on far-away, process 1", "seconds": 120.0})
    s3.put_object(Bucket=bucket, Key=f"{prefix}/{LEASE}/{number:012}", Body=body)
    return number


def test_a_holder_that_lost_it_writes_no_more(root, s3, monkeypatch):
    workspace = Workspace(root)
    store = SampleStore(workspace.samples_uri)
    for name in ("a", "b"):
        store.commit([sample(name)], reason=name, key=name)
    with alone(workspace):
        workspace.write_bytes("before", b"")
        number = take_over(root, s3)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        monkeypatch.setattr(time, "clock_gettime", lambda _: now + 3600)
        for write in (
            lambda: workspace.models.write_bytes("after", b""),
            lambda: workspace.remove("before"),
            lambda: store.commit([sample("c")], reason="c", key="c"),
            lambda: store.restore(0, "why"),
        ):
            with pytest.raises(PipelineError, match=r"did not renew its lock for 120 s .* Wait for the other") as lost:
                write()
            assert not isinstance(lost.value, RemoteError), "which a cycle would survive"
    assert workspace.names() == ["before", "lease", "samples"]
    assert store.version() == 1
    assert objects(s3, root)[-1] == f"{number:012}", "the other run still holds it"
    with pytest.raises(PipelineError, match="ann on far-away"):
        alone(workspace).__enter__()


def test_a_holder_that_slept_while_nobody_took_it_goes_on(root, monkeypatch):
    workspace = Workspace(root)
    with alone(workspace):
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        monkeypatch.setattr(time, "clock_gettime", lambda _: now + 3600)
        workspace.write_bytes("after", b"")
        assert is_locked(workspace)


def test_renewal_tells_a_holder_that_it_lost(root, s3, caplog):
    lease = Lease(f"{root}/{LEASE}", SHORT_S)
    lease.acquire(0.0, 0.1)
    take_over(root, s3)
    lease._renewing.join(LONG_S)
    assert "another run has taken the lock of this one" in caplog.text
    with pytest.raises(PipelineError, match="another run has taken it"):
        lease.require()
    lease.release()


def test_an_answer_that_was_lost_is_no_refusal(root, monkeypatch):
    """The store did what it was asked, the connection broke, and the library asked again."""
    lease = Lease(f"{root}/{LEASE}")
    create = lease._files.pipe_file

    def twice(place, data, mode):
        create(place, data, mode=mode)
        create(place, data, mode=mode)

    monkeypatch.setattr(lease._files, "pipe_file", twice)
    lease.acquire(0.0, 0.1)
    monkeypatch.undo()
    assert is_locked(Workspace(root))
    lease.release()


def test_who_looked_long_ago_takes_nothing(root, s3):
    """The objects that it would follow are removed by now, and the number after them is free again."""
    old, held = Lease(f"{root}/{LEASE}"), Lease(f"{root}/{LEASE}")
    held.acquire(0.0, 0.1)
    for _ in range(3):
        held._renew()
    assert objects(s3, root) == ["000000000004"]
    assert not old._advance(1, old._own)
    assert objects(s3, root) == ["000000000004"]
    held.require()
    held.release()
