import random

import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.reading import CHANGED_IN, STORED_SCHEMA, Wanted, condition, pieces, rebatched
from pipeline.errors import ArtefactError
from pipeline.records import Split, State, of_images


def stored(tmp_path, *ids, rows_a_group=2):
    table = pa.table({"image_id": pa.array(ids, pa.string()), "width": range(len(ids))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=rows_a_group)
    return pds.dataset(tmp_path / "a.parquet")


def test_no_condition_no_filter():
    assert condition(None, None) is None


@pytest.mark.parametrize(
    ("states", "splits", "found"),
    [
        ([], None, ""),
        ([State.POOL], None, "ab"),
        ([State.POOL, State.LABELED], None, "abc"),
        (None, [Split.TRAIN], "bc"),
        ([State.POOL], [Split.TRAIN], "b"),
        (None, [], ""),
    ],
)
def test_conditions(states, splits, found):
    table = pa.table({"id": list("abc"), "state": ["pool", "pool", "labeled"], "split": ["pool", "train", "train"]})
    assert "".join(table.filter(condition(states, splits))["id"].to_pylist()) == found


def test_a_group_at_a_time(tmp_path):
    found = list(pieces(stored(tmp_path, *"abcde"), Wanted(["width"]), "v"))
    assert [piece.to_pydict() for piece in found] == [{"width": [0, 1]}, {"width": [2, 3]}, {"width": [4]}]


@pytest.mark.parametrize("ids", ["ba", "abca", "aab"])
def test_rows_out_of_order_are_noticed(tmp_path, ids):
    with pytest.raises(ArtefactError, match="version 3: expected rows in the order of image_id"):
        list(pieces(stored(tmp_path, *ids), Wanted(["width"]), "version 3"))


def version_of(tmp_path, *files, rows_a_group=2):
    """A version of some files; each is a text of image, state and changed_in per row, such as `a:pool:3`."""
    tmp_path.mkdir(exist_ok=True)
    for number, rows in enumerate(files):
        ids, states, changed = zip(*(row.split(":") for row in rows.split()), strict=True)
        columns = {"image_id": ids, "state": states, CHANGED_IN: [int(n) if n else None for n in changed]}
        schema = pa.schema([STORED_SCHEMA.field(name) for name in columns])
        pq.write_table(pa.table(columns, schema), tmp_path / f"{number}.parquet", row_group_size=rows_a_group)
    return pds.dataset([tmp_path / f"{number}.parquet" for number in range(len(files))], schema=STORED_SCHEMA)


def read(dataset, **wanted):
    tables = list(pieces(dataset, Wanted(["image_id", "state"], **wanted), "version 3"))
    return " ".join(f"{row['image_id']}:{row['state']}" for table in tables for row in table.to_pylist())


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["a:pool:0 b:pool:0"], "a:pool b:pool"),
        (["a:pool:0 b:pool:0", "b:queued:1"], "a:pool b:queued"),
        (["b:queued:1", "a:pool:0 b:pool:0"], "a:pool b:queued"),
        (["a:pool:0 b:pool:0", "b:queued:1", "b:labeled:2"], "a:pool b:labeled"),
        (["a:pool:0 b:labeled:7 c:pool:0", "a:queued:3 b:queued:3"], "a:queued b:labeled c:pool"),
        (["a:pool: b:pool:", "b:queued:1"], "a:pool b:queued"),
        (
            ["a:pool:0 b:pool:0 c:pool:0 d:pool:0 e:pool:0", "a:queued:1 e:queued:1"],
            "a:queued b:pool c:pool d:pool e:queued",
        ),
        (["c:pool:0", "a:pool:1 b:pool:1 d:pool:1", "e:pool:2"], "a:pool b:pool c:pool d:pool e:pool"),
    ],
)
def test_the_newest_row_of_each_image_is_read_in_order(tmp_path, files, found):
    assert read(version_of(tmp_path, *files)) == found


def test_rows_are_chosen_by_the_state_of_the_newest_one(tmp_path):
    dataset = version_of(tmp_path, "a:pool:0 b:pool:0 c:queued:0", "a:queued:1 c:pool:1")
    assert read(dataset, rows=condition([State.POOL], None)) == "b:pool c:pool"


def test_images_are_chosen_in_all_files(tmp_path):
    dataset = version_of(tmp_path, "a:pool:0 b:pool:0 c:queued:0", "a:queued:1 c:pool:1")
    assert read(dataset, images=of_images(["a", "b", "z"])) == "a:queued b:pool"


def test_files_of_no_version_yet_are_read_beside(tmp_path):
    dataset = version_of(tmp_path / "old", "a:pool:0 b:pool:0 c:queued:0")
    newer = version_of(tmp_path / "new", "b:labeled:1 d:pool:1")
    rows = pa.concat_tables(pieces(dataset, Wanted(["image_id", "state"]), "v", newer)).to_pylist()
    assert [f"{row['image_id']}:{row['state']}" for row in rows] == ["a:pool", "b:labeled", "c:queued", "d:pool"]


@pytest.mark.parametrize("changed", ["1", ""])
def test_two_rows_of_an_image_of_which_none_is_newer_are_noticed(tmp_path, changed):
    dataset = version_of(tmp_path, f"a:pool:0 b:pool:{changed}", f"b:queued:{changed}")
    with pytest.raises(ArtefactError, match="version 3: expected one newest row of each image, another program"):
        read(dataset)


@pytest.mark.parametrize("seed", range(5))
def test_many_files_give_what_replacing_one_by_one_gives(tmp_path, seed):
    chance, expected, files = random.Random(seed), {}, []
    for version in range(9):
        changed = sorted(chance.sample("abcdefghijklmnopqrstuvwxyz", chance.randint(1, 26)))
        rows = {image_id: chance.choice(["pool", "queued", "labeled"]) for image_id in changed}
        expected |= rows
        files.append(" ".join(f"{image_id}:{state}:{version}" for image_id, state in rows.items()))
    chance.shuffle(files)
    found = read(version_of(tmp_path, *files, rows_a_group=3))
    assert found == " ".join(f"{image_id}:{state}" for image_id, state in sorted(expected.items()))


def test_a_file_that_is_gone_is_noticed(tmp_path):
    dataset = stored(tmp_path, *"ab")
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(ArtefactError, match=r"version 3: its file is gone .* Name another version"):
        list(pieces(dataset, Wanted(["width"]), "version 3"))


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([], []),
        ([0, 0], []),
        ([1], [1]),
        ([3], [3]),
        ([1, 1, 1, 1], [3, 1]),
        ([7, 0, 2], [3, 3, 3]),
        ([2, 9], [3, 3, 3, 2]),
    ],
)
def test_batches_have_one_size(sizes, batches):
    numbers = iter(range(100))
    tables = [pa.table({"n": pa.array([next(numbers) for _ in range(size)], pa.int64())}) for size in sizes]
    found = list(rebatched(tables, 3))
    assert [batch.num_rows for batch in found] == batches
    assert [n for batch in found for n in batch["n"].to_pylist()] == list(range(sum(sizes)))
