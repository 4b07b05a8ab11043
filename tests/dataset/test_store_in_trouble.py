"""Writers that meet, writers that are killed, tables that are large."""

import random
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError
from pipeline.records import samples_to_table
from tests.builders import box, image_id, sample


@pytest.fixture
def store(tmp_path):
    return SampleStore(str(tmp_path / "some where" / "samples"))


def commit(store, *samples, key="k", **fields):
    return store.commit(samples, reason="because", key=key, **fields)


def race(*calls):
    """Run calls at once and collect what they return or raise."""
    start, results = threading.Barrier(len(calls)), []

    def run(call):
        start.wait()
        try:
            results.append(call())
        except ArtefactError as fault:
            results.append(fault)

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("first", [True, False])
def test_of_two_writers_at_once_one_is_refused_and_nothing_is_mixed(tmp_path, first):
    lost = 0
    for turn in range(40):
        store = SampleStore(str(tmp_path / str(turn)))
        if not first:
            commit(store, sample("start"), key="start")
        results = race(*(partial(commit, store, sample(name), key=name) for name in "ab"))
        faults = [result for result in results if isinstance(result, ArtefactError)]
        numbers = sorted(result for result in results if not isinstance(result, ArtefactError))
        start = 0 if first else 1
        assert numbers == list(range(start, start + len(numbers)))
        assert len(store.history()) == start + len(numbers)
        assert len(store.samples()) == start + len(numbers)
        assert all("somebody else committed at the same time, nothing was written" in str(fault) for fault in faults)
        lost += len(faults)
        if lost >= 3:
            return
    pytest.fail("the two writers never met")


def test_a_restore_that_meets_a_commit_is_refused(store, monkeypatch):
    commit(store, sample("a"), key="1")
    commit(store, sample("b"), key="2")
    real = DeltaTable.restore

    def late(table, *arguments, **options):
        commit(store, sample("c"), key="3")
        return real(table, *arguments, **options)

    monkeypatch.setattr(DeltaTable, "restore", late)
    with pytest.raises(ArtefactError, match="somebody else committed at the same time"):
        store.restore(0, "r")
    assert len(store.samples()) == 3


COMMIT_FOR_EVER = """
import sys
from itertools import count
from pipeline.dataset.store import SampleStore
from tests.builders import box, sample
store = SampleStore(sys.argv[1])
for number in count(store.version() + 1):
    samples = [sample(str(n), *[box(1, 1, 2 + k, 9) for k in range(n % 7)], cycle=number) for n in range(300)]
    store.commit(samples, reason="again", key=f"commit {number}", cycle=number)
    print(number, flush=True)
"""


def test_kill_9_leaves_the_version_before_or_after(tmp_path):
    store = SampleStore(str(tmp_path / "samples"))
    store.commit([sample(str(n), cycle=0) for n in range(300)], reason="start", key="commit 0", cycle=0)
    chance = random.Random(0)
    for _ in range(5):
        command = [sys.executable, "-c", COMMIT_FOR_EVER, store.uri]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            told = [int(writer.stdout.readline()) for _ in range(chance.randint(1, 4))]
            time.sleep(chance.uniform(0, 0.1))
            writer.send_signal(signal.SIGKILL)
            assert writer.wait() == -signal.SIGKILL
        latest = store.version()
        assert latest >= told[-1]
        table = store.table()
        assert set(table["cycle"].to_pylist()) == {latest}
        assert table.num_rows == 300
        history = store.history()
        assert [version.key for version in history] == [f"commit {number}" for number in range(latest + 1)]
        assert history[-1].counts["images"] == {"labeled": 300}


STREAM = """
import sys
import pyarrow as pa
from pipeline.dataset.store import SampleStore
rows = sum(batch.num_rows for batch in SampleStore(sys.argv[1]).stream(batch_rows=256))
print(rows, pa.default_memory_pool().max_memory())
"""


def test_memory_of_a_stream_does_not_grow_with_the_table(tmp_path):
    """In a process of its own, so that nothing but the stream counts."""
    one = samples_to_table([sample("a", *[box(n, n, n + 9, n + 9) for n in range(5)])])
    peaks = {}
    for count in (16_000, 96_000):
        ids = pa.array([image_id(str(n)) for n in range(count)])
        rows = one.take(pa.array([0] * count)).set_column(0, "image_id", ids)
        store = SampleStore(str(tmp_path / str(count)))
        store.commit(rows, reason="r", key="k")
        command = [sys.executable, "-c", STREAM, store.uri]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        found, peaks[count] = map(int, done.stdout.split())
        assert found == count
    assert peaks[96_000] < 1.3 * peaks[16_000]
