"""Two processes that commit to one sample table on S3 at the same time."""

from __future__ import annotations

import multiprocessing

import pytest

from pipeline.dataset.checksums import damaged_files
from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.workspace import Workspace
from tests.builders import sample

LONG_S = 120.0
COMMITS = 6
PROCESSES = multiprocessing.get_context("spawn")


def commit_often(uri, writer, together, outcome):
    """Commit a row each time, again where the other was first; tells how often that was."""
    store, refused = SampleStore(uri), 0
    for number in range(COMMITS):
        together.wait(LONG_S)
        while True:
            try:
                store.commit([sample(f"{writer} {number}")], reason=writer, key=f"{writer} {number}")
                break
            except ArtefactError as fault:
                if "somebody else committed at the same time, nothing was written. Run again" not in str(fault):
                    raise
                refused += 1
    outcome.put(refused)


@pytest.fixture
def written(root):
    """A table that two processes wrote to, beginning with who makes it, and how often one was refused."""
    uri = Workspace(root).samples_uri
    together, outcome = PROCESSES.Barrier(2), PROCESSES.Queue()
    writers = [PROCESSES.Process(target=commit_often, args=(uri, name, together, outcome)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    refused = sum(outcome.get(timeout=LONG_S) for _ in writers)
    for writer in writers:
        writer.join(LONG_S)
    return SampleStore(uri), refused


def test_one_wins_the_other_is_refused_and_nothing_is_lost(written):
    store, refused = written
    assert refused, "they never met: nothing was tried"
    history = store.history()
    assert [one.number for one in history] == list(range(2 * COMMITS))
    assert [one.parent for one in history] == [None, *range(2 * COMMITS - 1)]
    assert len({one.key for one in history}) == 2 * COMMITS
    assert len(store.table()) == 2 * COMMITS
    for one in history:
        assert len(store.table(one.number)) == one.number + 1, (
            "a version has every row of those before it, and one more"
        )
    assert damaged_files(Folder(store.uri)) == []
