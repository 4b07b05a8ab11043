"""Room is made from versions that nothing needs, and what is gone is said to be."""

import pytest

from pipeline.dataset.blame import blame, find_image
from pipeline.dataset.store import SampleStore
from pipeline.dataset.tags import tag_version
from pipeline.errors import PipelineError, RowsGoneError
from pipeline.settings import parse_settings
from pipeline.stages.vacuum import vacuum
from pipeline.workspace import Workspace
from tests.builders import box, image_id, sample

VERSIONS = 6


@pytest.fixture
def settings(tmp_path):
    source = {"split": "pool", "format": "images", "images": str(tmp_path)}
    data = {"labels": ["bolt"], "sources": [source]}
    return parse_settings({"name": "parts", "workspace": str(tmp_path / "work"), "data": data}, "test")


@pytest.fixture
def store(settings):
    """Version n says n boxes."""
    store = SampleStore(Workspace(settings.workspace).samples_uri)
    for number in range(VERSIONS):
        boxes = [box(10 * i, 10, 10 * i + 5, 20) for i in range(number)]
        store.commit([sample("one", *boxes)], reason=f"reason {number}", key=str(number))
    return store


def readable(store):
    found = []
    for version in store.history():
        try:
            rows = store.samples(version.number)
        except RowsGoneError:
            continue
        assert len(rows[0].boxes) == (version.restored if version.restored is not None else version.number)
        found.append(version.number)
    return found


def test_nothing_goes_before_it_is_wanted(settings, store):
    told = vacuum(settings, 2, apply=False)
    assert told.versions == (0, 1, 2, 3)
    assert told.size > 0
    assert readable(store) == list(range(VERSIONS))


def test_the_newest_and_those_with_a_tag_stay(settings, store):
    tag_version(Workspace(settings.workspace), "release", 2)
    assert vacuum(settings, 2, apply=True).versions == (0, 1, 3)
    assert readable(store) == [2, 4, 5]
    assert [version.reason for version in store.history()] == [f"reason {number}" for number in range(VERSIONS)]
    again = vacuum(settings, 2, apply=True)
    assert (again.versions, again.size) == ((), 0)


def test_rows_that_a_restore_brought_back_stay(settings, store):
    store.restore(1, "back")
    assert vacuum(settings, 1, apply=True).versions == (0, 2, 3, 4, 5)
    assert readable(store) == [1, 6]


def test_what_is_gone_is_not_restored_and_its_changes_are_told_of_the_next_version(settings, store):
    vacuum(settings, 2, apply=True)
    with pytest.raises(RowsGoneError, match=r"version 1: a file is gone"):
        store.restore(1, "back")
    assert store.version() == VERSIONS - 1
    assert find_image(store, "one.jpg") == image_id("one")
    changes = blame(store, image_id("one"))
    assert [(change.version.number, change.change) for change in changes] == [
        (4, "image added"), *[(4, "box added")] * 4, (5, "box added"),
    ]  # fmt: skip


def test_a_file_that_a_killed_commit_left_goes(settings, store, tmp_path):
    Workspace(settings.workspace).folder("samples").write_bytes("part-left.parquet", b"x" * 7)
    told = vacuum(settings, VERSIONS, apply=True)
    assert (told.versions, told.size) == ((), 7)
    assert readable(store) == list(range(VERSIONS))


def test_no_room_is_made_under_a_cycle(settings, store):
    Workspace(settings.workspace).cycle(0).write_bytes("cycle.json", b"{}")
    with pytest.raises(PipelineError, match="cycle 0 is under way and may need any version"):
        vacuum(settings, 1, apply=True)
    assert readable(store) == list(range(VERSIONS))
