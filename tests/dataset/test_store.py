import math
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError
from pipeline.records import SAMPLE_SCHEMA, Region, Source, Split, State, samples_from_table, samples_to_table
from tests.builders import MOMENT, box, image_id, sample

POOL = {"split": Split.POOL, "state": State.POOL}


@pytest.fixture
def store(tmp_path):
    return SampleStore(str(tmp_path / "some where" / "samples"))


def commit(store, *samples, key="k", **fields):
    return store.commit(samples, reason="because", key=key, **fields)


def rounded(*samples):
    """Samples as float32 and the order of the table leave them."""
    return sorted(samples_from_table(samples_to_table(samples)), key=lambda one: one.image_id)


def test_before_the_first_commit_there_is_no_table(store):
    assert not store.exists()
    for call in (store.version, store.history, store.table, store.samples, lambda: store.restore(0, "x")):
        with pytest.raises(ArtefactError, match=r"Expected a sample table at .*, found none\. Run `crosscheck import`"):
            call()


def test_an_empty_commit_makes_an_empty_table(store):
    assert commit(store) == 0
    assert store.exists()
    assert store.table().equals(SAMPLE_SCHEMA.empty_table())
    assert list(store.stream()) == []
    assert store.samples() == []


def test_what_is_committed_is_read_back(store):
    rich = box(0.1, 0.2, 30.3, 40.4, source=Source.PSEUDO, score=0.7, consistency=0.5, p_correct=0.9, model_id="m")
    by_hand = box(source=Source.HUMAN, annotation_id="7", annotator="zoé")
    samples = [
        sample("a", rich, by_hand, box(created_at=None), ignore=(Region(1, 2, 3, 4, "unsure"),), note="n", cycle=3),
        sample("b", **POOL),
        sample("c", width=0, height=0, fingerprint="", state=State.QUARANTINED, note="zero bytes"),
    ]
    assert commit(store, *samples) == 0
    assert store.version() == 0
    assert store.samples() == rounded(*samples)
    assert store.table().schema.equals(SAMPLE_SCHEMA)


def test_a_commit_replaces_rows_and_leaves_the_others(store):
    a, b, c = sample("a", box(), box(60, 60, 80, 80)), sample("b", **POOL), sample("c", box())
    changed = replace(b, state=State.LABELED, split=Split.TRAIN, boxes=(box(label="nut", source=Source.HUMAN),))
    assert commit(store, a, b, key="1") == 0
    assert commit(store, changed, c, key="2") == 1
    assert store.samples() == rounded(a, changed, c)
    assert store.samples(0) == rounded(a, b)
    assert commit(store, replace(a, boxes=()), key="3") == 2
    assert store.samples() == rounded(replace(a, boxes=()), changed, c)


def test_a_table_can_be_committed(store):
    table = samples_to_table([sample("b"), sample("a")])
    store.commit(table, reason="r", key="k")
    assert store.table().equals(table.sort_by("image_id"))


def test_the_same_key_commits_once(store):
    assert commit(store, sample("a"), key="import") == 0
    assert commit(store, sample("b"), key="cycle 1") == 1
    assert commit(store, sample("c"), key="import") == 0
    assert commit(store, sample("c"), key="cycle 1") == 1
    assert store.version() == 1
    assert len(store.samples()) == 2


def test_a_restore_lets_keys_be_used_again(store):
    for number in range(3):
        commit(store, sample(str(number)), key=f"key {number}")
    assert store.restore(1, "wrong labels") == 3
    assert commit(store, sample("0", box()), key="key 0") == 0
    assert commit(store, sample("1", box()), key="key 1") == 1
    assert commit(store, sample("2", box()), key="key 2") == 4
    assert commit(store, sample("2"), key="key 2") == 4


def test_a_restore_brings_rows_back_as_a_new_version(store):
    commit(store, sample("a"), key="1")
    commit(store, sample("b", box()), key="2")
    assert store.restore(0, "b was wrong") == 2
    assert store.samples() == rounded(sample("a"))
    assert store.samples(1) == rounded(sample("a"), sample("b", box()))
    restored = store.history()[-1]
    assert (restored.parent, restored.restored, restored.reason, restored.key) == (1, 0, "b was wrong", "")
    assert restored.counts == store.history()[0].counts


def test_restoring_what_is_there_already_adds_nothing(store):
    commit(store, sample("a"), key="1")
    assert store.restore(0, "r") == 0
    commit(store, sample("b"), key="2")
    assert store.restore(1, "r") == 1
    assert store.restore(0, "r") == 2
    assert store.restore(0, "again") == 2


def test_history_tells_who_made_each_version(store):
    before = datetime.now(UTC)
    commit(store, sample("a", box()), key="import")
    details = {"audit": {"nut": [1, 2]}, "note": None}
    commit(store, sample("b", **POOL), key="c1", cycle=1, model_id="m", settings_digest="d", details=details)
    first, second = store.history()
    assert (first.number, first.parent, first.reason, first.key, first.cycle) == (0, None, "because", "import", None)
    assert (second.number, second.parent, second.cycle, second.model_id, second.settings_digest) == (1, 0, 1, "m", "d")
    assert second.details == details
    assert second.counts == {
        "images": {"labeled": 1, "pool": 1},
        "splits": {"pool": 1, "train": 1},
        "boxes": {"import": 1},
        "labels": {"bolt": 1},
    }
    assert before.replace(microsecond=0) <= first.timestamp <= second.timestamp <= datetime.now(UTC)


@pytest.mark.parametrize("version", [-1, 2, 99])
def test_a_version_that_does_not_exist(store, version):
    commit(store, sample("a"), key="1")
    commit(store, sample("b"), key="2")
    for call in (store.table, store.samples, lambda v: list(store.stream(v)), lambda v: store.restore(v, "r")):
        with pytest.raises(ArtefactError, match=f"Expected a dataset version from 0 to 1, got {version}"):
            call(version)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"key": ""}, "Expected a reason and a key"),
        ({"reason": ""}, "Expected a reason and a key"),
        ({"details": {"x": math.nan}}, "not JSON compliant"),
    ],
)
def test_a_commit_that_makes_no_sense_writes_nothing(store, fields, match):
    with pytest.raises(ValueError, match=match):
        store.commit([sample("a")], **{"reason": "r", "key": "k", **fields})
    assert not store.exists()


def test_an_image_twice_in_one_commit_is_refused(store):
    with pytest.raises(ValueError, match="Expected every image_id once"):
        commit(store, sample("a"), sample("a"))


@pytest.fixture
def mixed(store):
    kinds = [("train", "labeled"), ("train", "pseudo"), ("pool", "pool"), ("pool", "queued"), ("test", "labeled")]
    samples = [
        sample(f"{split}-{state}-{n}", split=Split(split), state=State(state))
        for split, state in kinds
        for n in range(4)
    ]
    commit(store, *samples)
    return store, samples


@pytest.mark.parametrize(
    ("states", "splits"),
    [
        (None, None),
        ([State.POOL], None),
        (None, [Split.TEST]),
        ([State.LABELED], [Split.TRAIN]),
        ([State.SKIPPED], None),
    ],
)
def test_rows_are_picked_by_state_and_split(mixed, states, splits):
    store, samples = mixed
    wanted = [
        one.image_id for one in samples if (not states or one.state in states) and (not splits or one.split in splits)
    ]
    assert store.table(states=states, splits=splits)["image_id"].to_pylist() == sorted(wanted)
    assert [one.image_id for one in store.samples(states=states, splits=splits)] == sorted(wanted)
    streamed = [
        key
        for batch in store.stream(states=states, splits=splits, batch_rows=3)
        for key in batch["image_id"].to_pylist()
    ]
    assert streamed == sorted(wanted)


def test_columns_are_picked_in_the_order_asked(mixed):
    store, samples = mixed
    table = store.table(columns=["uri", "width"], states=[State.POOL])
    assert table.column_names == ["uri", "width"]
    expected = sorted((one for one in samples if one.state is State.POOL), key=lambda one: one.image_id)
    assert table["uri"].to_pylist() == [one.uri for one in expected]


def test_a_stream_reads_the_version_it_was_opened_on(mixed):
    store, samples = mixed
    stream = store.stream(batch_rows=1)
    next(stream)
    commit(store, *(replace(one, note="later") for one in samples), key="later")
    assert {note for batch in stream for note in batch["note"].to_pylist()} == {""}


def test_other_programs_are_noticed(store):
    commit(store, *(sample(str(number)) for number in range(3)), key="1")
    table = DeltaTable(store.uri)
    table.delete(f"image_id = '{image_id('0')}'")
    assert len(store.samples()) == 2
    foreign = store.history()[-1]
    assert (foreign.number, foreign.parent, foreign.key) == (1, 0, "")
    assert foreign.reason == "DELETE by another program"
    assert commit(store, sample("9"), key="2") == 2


def test_old_versions_survive_other_programs_cleaning_up(store):
    for number in range(3):
        commit(store, sample(str(number)), key=str(number))
    table = DeltaTable(store.uri)
    table.vacuum(retention_hours=None, dry_run=False)
    table.create_checkpoint()
    table.cleanup_metadata()
    assert [len(store.samples(number)) for number in range(3)] == [1, 2, 3]
    assert len(store.history()) == 3


def test_a_version_whose_file_is_gone_says_so(store, tmp_path):
    commit(store, sample("a"))
    for file in (tmp_path / "some where" / "samples").glob("*.parquet"):
        file.unlink()
    with pytest.raises(ArtefactError, match="version 0: its file is gone"):
        store.table()


def test_moment_is_kept_to_the_microsecond(store):
    exact = MOMENT.replace(microsecond=123_456)
    commit(store, sample("a", box(created_at=exact)))
    assert store.samples()[0].boxes[0].created_at == exact


def test_a_table_of_an_earlier_release_is_read_and_takes_on_new_fields_of_boxes(tmp_path):
    rows = samples_to_table([sample("a", box(source=Source.PSEUDO, p_correct=0.9)), sample("b", **POOL)])
    kinds = [field for field in SAMPLE_SCHEMA.field("boxes").type.value_type if field.name != "proposal_id"]
    older = pa.schema(
        [f if f.name != "boxes" else pa.field("boxes", pa.list_(pa.struct(kinds))) for f in SAMPLE_SCHEMA]
    )
    boxes = [
        [{name: v for name, v in b.items() if name != "proposal_id"} for b in row] for row in rows["boxes"].to_pylist()
    ]
    table = rows.set_column(
        rows.column_names.index("boxes"), older.field("boxes"), pa.array(boxes, older.field("boxes").type)
    )
    write_deltalake(str(tmp_path / "samples"), table.sort_by("image_id"))
    store = SampleStore(str(tmp_path / "samples"))
    assert store.table().equals(rows.sort_by("image_id"))
    commit(store, sample("c", box(proposal_id="p.000")))
    assert [b.proposal_id for one in store.samples() for b in one.boxes if one.image_id == image_id("c")] == ["p.000"]
    assert store.table(0).equals(rows.sort_by("image_id"))
    assert store.restore(0, "back") == 2
    commit(store, sample("c", box(proposal_id="p.000")), key="again")
    assert store.by_ids([image_id("c")])[0].boxes[0].proposal_id == "p.000"
