"""A changed byte or a lost file of the sample table is told in one line, and never read as if it were right."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipeline.dataset.checksums import HINT, LOG, SUMS, damaged_files
from pipeline.dataset.row_removal import remove_rows
from pipeline.dataset.store import SampleStore
from pipeline.dataset.verify import verify
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from tests.builders import box, sample

FLIPS = 54


def fill(folder: Path, versions: int = 3) -> SampleStore:
    store = SampleStore(str(folder / "samples"))
    for number in range(versions):
        samples = [sample(f"{number} {n}", *[box(1, 1, 2 + k, 9) for k in range(n % 5)]) for n in range(20)]
        store.commit(samples, reason="because", key=f"commit {number}")
    store.restore(1, "as it was")
    return store


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A table with a checkpoint in its log, as one gets after a hundred commits."""
    folder = tmp_path_factory.mktemp("whole")
    store = fill(folder)
    DeltaTable(store.uri).create_checkpoint()
    (Path(store.uri) / SUMS / log_file(3)).unlink()
    store.commit([], reason="nothing new", key="last")
    return store


@pytest.fixture
def copied(whole, tmp_path):
    shutil.copytree(whole.uri, tmp_path / "samples")
    return SampleStore(str(tmp_path / "samples"))


def log_file(number: int) -> str:
    return f"{number:020}.json"


def files(store: SampleStore) -> list[Path]:
    return sorted(path for path in Path(store.uri).rglob("*") if path.is_file() and path.parent.name != SUMS)


def flip(path: Path, at: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def read(store: SampleStore, number: int) -> pa.Table | str:
    """The rows of a version, or the refusal."""
    try:
        return store.table(number)
    except ArtefactError as fault:
        return str(fault)


def test_a_whole_table_has_no_damage(copied):
    assert damaged_files(Folder(copied.uri)) == []
    kinds = {path.name.split(".", 1)[-1] for path in files(copied)}
    assert {"json", "checkpoint.parquet"} <= kinds, "what is flipped below"


def test_every_flipped_byte_is_found_and_none_is_read(copied):
    right = {number: copied.table(number) for number in range(copied.version() + 1)}
    chance = random.Random(0)
    targets = [path for path in files(copied) if path.name != HINT]
    for turn in range(FLIPS):
        path = targets[turn % len(targets)]
        before = path.read_bytes()
        flip(path, chance.randrange(len(before)), chance.randrange(8))
        assert [damage.file for damage in damaged_files(Folder(copied.uri))] == [str(path)]
        found = {number: read(copied, number) for number in right}
        assert all(found[number] == rows or str(path) in str(found[number]) for number, rows in right.items())
        assert any(isinstance(each, str) for each in found.values())
        path.write_bytes(before)
    assert damaged_files(Folder(copied.uri)) == []


def test_the_hint_at_the_newest_checkpoint_may_not_mislead(copied):
    path = Path(copied.uri) / LOG / HINT
    before = path.read_bytes()
    rows = copied.table()
    for at in range(len(before)):
        flip(path, at, 1)
        found = read(copied, 4)
        assert found == rows or str(path) in str(found)
        path.write_bytes(before)


@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_lost_log_file_is_named_and_no_older_version_shown(copied, number):
    path = Path(copied.uri) / LOG / log_file(number)
    path.unlink()
    for look in (copied.table, copied.version, copied.history):
        with pytest.raises(ArtefactError, match=f"expected the log of version {number}, found nothing. Bring the file"):
            look()


def test_a_lost_log_is_no_empty_project(copied):
    shutil.rmtree(Path(copied.uri) / LOG)
    assert copied.exists()
    with pytest.raises(ArtefactError, match="expected the log of version 0, found nothing"):
        copied.commit([sample("a")], reason="r", key="import")


@pytest.mark.parametrize("left", [0, 40, -3])
@pytest.mark.parametrize("sealed", [True, False], ids=["with checksums", "of an earlier release"])
def test_a_truncated_log_is_one_line(copied, left, sealed):
    path = Path(copied.uri) / LOG / log_file(4)
    path.write_bytes(path.read_bytes()[:left])
    if not sealed:
        shutil.rmtree(Path(copied.uri) / SUMS)
    with pytest.raises(ArtefactError) as caught:
        copied.table()
    assert str(path) in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_a_version_that_was_killed_before_its_checksums_gets_them_with_the_next(copied):
    (Path(copied.uri) / SUMS / log_file(4)).unlink()
    copied.table()
    copied.commit([sample("new")], reason="r", key="next")
    assert sorted(path.name for path in (Path(copied.uri) / SUMS).iterdir()) == [log_file(n) for n in range(6)]
    assert damaged_files(Folder(copied.uri)) == []


def test_rows_that_were_damaged_are_not_blessed_by_a_restore(tmp_path):
    store = fill(tmp_path)
    rows = next(path for path in files(store) if path.suffix == ".parquet" and path.name in added_by(store, 0))
    flip(rows, 200, 3)
    store.restore(0, "back to the first")
    with pytest.raises(ArtefactError, match="expected the bytes that were committed, found others"):
        store.table()


def added_by(store: SampleStore, number: int) -> str:
    return (Path(store.uri) / LOG / log_file(number)).read_text()


def test_rows_that_were_removed_to_make_room_are_no_damage(copied):
    remove_rows(copied.uri, [], apply=True)
    assert damaged_files(Folder(copied.uri)) == []


def test_verify_names_the_damaged_file_of_the_table(copied):
    rows = next(path for path in files(copied) if path.suffix == ".parquet" and path.parent.name != LOG)
    flip(rows, 100, 0)
    found = verify(copied, 4)
    assert [damage.uri for damage in found.damaged] == [str(rows)]
    assert found.images == 0


def test_who_reads_while_another_commits_sees_no_damage(copied):
    ended = threading.Event()

    def commit():
        for number in range(15):
            copied.commit([sample(f"late {number}")], reason="r", key=f"late {number}")
        ended.set()

    writer = threading.Thread(target=commit)
    writer.start()
    seen = set()
    while not ended.is_set():
        seen.add(SampleStore(copied.uri).version())
    writer.join()
    assert seen <= set(range(4, 20))
    assert copied.version() == 19
