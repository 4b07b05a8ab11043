"""What a commit writes, and what is read of many commits, beside the same changes made to a plain dictionary."""

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from deltalake import DeltaTable

from pipeline.dataset import stored_table
from pipeline.dataset.blame import through_time
from pipeline.dataset.diff import diff_stored, diff_versions
from pipeline.dataset.row_removal import remove_rows
from pipeline.dataset.store import SampleStore
from pipeline.dataset.versions import count_rows
from pipeline.records import Source, Split, State, samples_to_table
from tests.builders import box, sample


@pytest.fixture
def store(tmp_path):
    return SampleStore(str(tmp_path / "samples"))


def pool(count):
    return [sample(f"{number:03}", box(), split=Split.POOL, state=State.POOL) for number in range(count)]


def commit(store, *samples):
    number = store.version() + 1 if store.exists() else 0
    return store.commit(samples, reason="because", key=f"commit {number}")


def files(store, version=None):
    return {Path(uri).name: Path(uri).stat().st_size for uri in DeltaTable(store.uri, version).file_uris()}


def queued(one):
    return replace(one, state=State.QUEUED)


def test_a_commit_writes_what_it_changes(store):
    images = pool(2000)
    commit(store, *images)
    commit(store, *map(queued, images[100:110]))
    before, after = files(store, 0), files(store, 1)
    (new,) = set(after) - set(before)
    assert set(before) < set(after)
    assert after[new] < 0.1 * sum(before.values())


def test_many_replaced_rows_bring_all_rows_into_one_file(store):
    images = pool(40)
    commit(store, *images)
    for start in (0, 10):
        commit(store, *map(queued, images[start : start + 10]))
    assert len(files(store)) == 3
    commit(store, *map(queued, images[20:21]))
    assert len(files(store)) == 1
    assert [one.state for one in store.samples()].count(State.QUEUED) == 21


def test_new_images_replace_nothing_and_stay_in_files_of_their_own(store):
    images = pool(40)
    for start in range(0, 40, 10):
        commit(store, *images[start : start + 10])
    assert len(files(store)) == 4


def test_many_files_are_made_fewer_by_writing_the_small_ones_again(store, monkeypatch):
    monkeypatch.setattr(stored_table, "_MOST_FILES", 4)
    images, counts = pool(400), []
    commit(store, *images)
    (largest,) = files(store)
    for number in range(20):
        commit(store, queued(images[number]))
        counts.append(len(files(store)))
        assert largest in files(store)
    assert max(counts) == 4
    assert [one.state for one in store.samples()].count(State.QUEUED) == 20


def test_a_commit_of_nothing_writes_no_file(store):
    commit(store, *pool(3))
    before = files(store)
    assert commit(store) == 1
    assert files(store) == before
    assert len(store.samples()) == 3


def changed(one, chance):
    boxes = tuple(
        box(n, n, n + width, n + 9, box_id=f"{one.image_id} {n} {width}", source=chance.choice(list(Source)))
        for n, width in enumerate(chance.choices(range(2, 9), k=3))
    )
    split = Split.TRAIN if chance.random() < 0.5 else Split.POOL
    return replace(one, state=chance.choice(list(State)), split=split, boxes=boxes[: chance.randint(0, 3)])


def grow(store, chance, commits):
    """Commit changed and new images, and now and then bring back an older version; the rows of each version."""
    rows, versions = {}, []
    for number in range(commits):
        if versions and chance.random() < 0.25:
            back = chance.randrange(len(versions))
            if store.restore(back, "back") == len(versions):
                rows = dict(versions[back])
                versions.append(dict(rows))
            continue
        new = [changed(sample(f"{number} {n}"), chance) for n in range(chance.randint(0, 6))]
        old = [changed(one, chance) for one in chance.sample(sorted(rows.values(), key=str), len(rows) // 4)]
        rows |= {one.image_id: one for one in (*old, *new)}
        commit(store, *old, *new)
        versions.append(dict(rows))
    return [samples_to_table(sorted(each.values(), key=lambda one: one.image_id)) for each in versions]


@pytest.mark.parametrize("seed", range(6))
def test_every_version_its_counts_and_its_differences_are_those_of_whole_tables(store, seed, monkeypatch):
    monkeypatch.setattr(stored_table, "_MOST_FILES", 5)
    tables = grow(store, random.Random(seed), 11)
    history = store.history()
    assert len(history) == len(tables)
    for number, table in enumerate(tables):
        assert store.table(number) == table
        assert history[number].counts == count_rows(table)
        for other in range(0, len(tables), 4):
            assert diff_stored(store, number, other) == diff_versions(table, tables[other])


def test_a_difference_reads_the_changed_rows_alone(store):
    images = pool(100)
    commit(store, *images)
    commit(store, *map(queued, images[:3]))
    commit(store, *map(queued, images[3:5]))
    assert [len(table) for table in store.changed_rows(1, 2)] == [2, 2]
    assert [len(table) for table in store.changed_rows(2, 0)] == [5, 5]
    assert [len(table) for table in store.changed_rows(1, 1)] == [0, 0]


def test_a_difference_over_a_version_of_another_program_reads_everything(store):
    images = pool(10)
    commit(store, *images)
    DeltaTable(store.uri).delete(f"image_id = '{images[0].image_id}'")
    commit(store, queued(images[1]))
    assert [len(table) for table in store.changed_rows(0, 2)] == [10, 9]
    assert [len(table) for table in store.changed_rows(1, 2)] == [1, 1]
    assert store.history()[2].counts["images"] == {"pool": 8, "queued": 1}


def test_removing_old_versions_keeps_files_that_others_share(store):
    images = pool(40)
    commit(store, *images)
    for number in range(3):
        commit(store, queued(images[number]))
    shared = set(files(store, 0))
    assert remove_rows(store.uri, [], apply=True).versions == ()
    store.restore(0, "back")
    gone = remove_rows(store.uri, [], apply=True)
    assert gone.versions == (1, 2, 3)
    assert gone.size > 0
    assert {path.name for path in Path(store.uri).glob("*.parquet")} == shared
    assert len(store.samples(0)) == len(store.samples()) == 40


@pytest.mark.parametrize("seed", range(3))
def test_an_image_through_time_is_what_each_version_holds(store, seed, monkeypatch):
    monkeypatch.setattr(stored_table, "_MOST_FILES", 5)
    tables = grow(store, random.Random(seed), 11)
    for image_id in tables[-1]["image_id"].to_pylist()[::5]:
        found = [(version.number, one) for version, one in through_time(store, image_id)]
        assert found == [(n, next(iter(store.by_ids([image_id], n)), None)) for n in range(len(tables))]


def in_pieces(images, *ends):
    """Tables of the images, cut at these places, in the order of their ids."""
    ordered = sorted(images, key=lambda one: one.image_id)
    return (samples_to_table(ordered[start:end]) for start, end in pairwise([0, *ends, len(ordered)]))


def folder_of(store):
    return sorted(path.name for path in Path(store.uri).glob("*.parquet"))


@pytest.mark.parametrize("ends", [(), (7,), (0, 1, 1, 25, 40)])
@pytest.mark.parametrize("count", [3, 30], ids=["beside", "into one file"])
def test_pieces_make_the_version_that_one_table_makes(tmp_path, ends, count):
    images = pool(40)
    changed = [queued(one) for one in images[:count]]
    stores = [SampleStore(str(tmp_path / name)) for name in ("whole", "pieces")]
    for store, first, second in (
        (stores[0], images, changed),
        (stores[1], in_pieces(images, *ends), in_pieces(changed, *(min(end, count) for end in ends))),
    ):
        store.commit(first, reason="import", key="import")
        store.commit(second, reason="change", key="change")
    whole, pieces = stores
    assert pieces.table().equals(whole.table())
    assert [version.counts for version in pieces.history()] == [version.counts for version in whole.history()]
    assert sorted(files(pieces).values()) == sorted(files(whole).values())
    assert len(folder_of(pieces)) == 2, "nothing is left over of rows that were written twice"


def test_pieces_out_of_order_change_nothing(store):
    commit(store, *pool(10))
    images = [queued(one) for one in sorted(pool(10), key=lambda one: one.image_id)]
    pieces = (samples_to_table(images[number : number + 1]) for number in (1, 0))
    with pytest.raises(ValueError, match=f"order of image_id, got {images[0].image_id} after {images[1].image_id}"):
        store.commit(pieces, reason="change", key="change")
    assert store.version() == 0
    assert {one.state for one in store.samples()} == {State.POOL}


def test_pieces_of_a_version_that_stands_are_not_made_again(store):
    commit(store, *pool(10))

    def pieces():
        raise AssertionError("made")
        yield

    assert store.commit(pieces(), reason="because", key="commit 0") == 0
