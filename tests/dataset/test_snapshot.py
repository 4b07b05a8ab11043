import pytest

from pipeline.dataset.row_removal import remove_rows
from pipeline.dataset.snapshot import Snapshot
from pipeline.dataset.store import SampleStore
from pipeline.dataset.stored_table import StoredTable
from pipeline.errors import ArtefactError, RowsGoneError
from tests.builders import box, sample


@pytest.fixture
def store(tmp_path):
    found = SampleStore(str(tmp_path / "samples"))
    found.commit([sample("a", box()), sample("b")], reason="import", key="import")
    found.commit([sample("b", box(box_id="drawn"))], reason="harvest", key="harvest")
    found.restore(0, "back")
    found.commit([sample("c")], reason="more", key="more")
    return found


def test_it_reads_what_the_table_reads(store):
    snapshot = Snapshot(store.uri)
    assert snapshot.history() == store.history()
    assert snapshot.readable_versions() == store.readable_versions() == {0, 1, 2, 3}
    for number in range(4):
        assert snapshot.table(number).equals(store.table(number))
        assert snapshot.changed_rows(0, number) == store.changed_rows(0, number)


def test_it_does_not_see_later_versions(store):
    snapshot = Snapshot(store.uri)
    rows = snapshot.table()
    store.commit([sample("d")], reason="d", key="d")
    assert snapshot.version() == 3
    assert snapshot.table().equals(rows)
    with pytest.raises(ArtefactError, match="Expected a dataset version from 0 to 3, got 4"):
        snapshot.table(4)


def test_it_opens_the_table_once(store, monkeypatch):
    opened, real = [], StoredTable.opened
    monkeypatch.setattr(StoredTable, "opened", lambda *given: opened.append(given) or real(*given))
    snapshot = Snapshot(store.uri)
    for number in range(4):
        snapshot.table(number)
        snapshot.changed_rows(0, number)
    assert len(opened) == 1


def test_rows_that_were_removed_are_gone(store):
    snapshot = Snapshot(store.uri)
    snapshot.version()
    remove_rows(store.uri, [], apply=True)
    with pytest.raises(RowsGoneError):
        snapshot.table(1)


def test_there_must_be_a_table(tmp_path):
    with pytest.raises(ArtefactError, match="found none"):
        Snapshot(str(tmp_path / "none")).version()
