import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.reading import condition, pieces, rebatched
from pipeline.errors import ArtefactError
from pipeline.records import Split, State


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
    found = list(pieces(stored(tmp_path, *"abcde"), ["width"], None, "v"))
    assert [piece.to_pydict() for piece in found] == [{"width": [0, 1]}, {"width": [2, 3]}, {"width": [4]}]


@pytest.mark.parametrize("ids", ["ba", "abca", "aab"])
def test_rows_out_of_order_are_noticed(tmp_path, ids):
    with pytest.raises(ArtefactError, match="version 3: expected rows in the order of image_id"):
        list(pieces(stored(tmp_path, *ids), ["width"], None, "version 3"))


def test_a_file_that_is_gone_is_noticed(tmp_path):
    dataset = stored(tmp_path, *"ab")
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(ArtefactError, match=r"version 3: its file is gone .* Name another version"):
        list(pieces(dataset, ["width"], None, "version 3"))


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
