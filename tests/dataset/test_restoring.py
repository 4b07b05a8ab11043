"""Bringing back some images, and seeing beforehand what would change."""

from __future__ import annotations

import pytest

from pipeline.dataset.restoring import restore_images, restored_difference
from pipeline.dataset.store import SampleStore
from pipeline.errors import ArtefactError, DataError
from pipeline.records import State
from tests.builders import box, image_id, sample

NAMES = ("a", "b", "c")


@pytest.fixture
def store(tmp_path):
    """Version 1 spoilt a and b, version 2 added c."""
    store = SampleStore(str(tmp_path / "samples"))
    store.commit([sample(name, box(label="bolt")) for name in ("a", "b")], reason="import", key="import")
    store.commit([sample(name, box(label="nut")) for name in ("a", "b")], reason="spoilt", key="spoilt")
    store.commit([sample("c", state=State.POOL)], reason="more", key="more")
    return store


def labels(store):
    return {name: [one.label for one in store.by_ids([image_id(name)])[0].boxes] for name in NAMES}


def test_one_image_is_brought_back_and_others_stay(store):
    assert restore_images(store, 0, [image_id("a")], "a was right before") == 3
    assert labels(store) == {"a": ["bolt"], "b": ["nut"], "c": []}
    made = store.history()[-1]
    assert (made.reason, made.details) == (
        "a was right before",
        {"images_restored_from": 0, "images_restored": [image_id("a")]},
    )


def test_what_is_so_already_makes_no_version(store):
    assert restore_images(store, 0, [image_id("a")], "once") == 3
    assert restore_images(store, 0, [image_id("a")], "twice") == 3
    assert restore_images(store, 1, [image_id("a")], "and back") == 4
    assert labels(store)["a"] == ["nut"]


def test_what_would_change_is_seen_beforehand(store):
    changes = restored_difference(store, 0, [image_id("b")])
    assert [(pair.change, pair.old_label, pair.new_label) for pair in changes.box_pairs] == [
        ("relabelled", "nut", "bolt")
    ]
    assert changes.box_images == (image_id("b"),)
    whole = restored_difference(store, 0, [])
    assert set(whole.box_images) == {image_id("a"), image_id("b")}
    assert whole.images_removed == {"pool": (image_id("c"),)}
    assert store.version() == 2


@pytest.mark.parametrize("do", [lambda *args: restore_images(*args, "why"), restored_difference])
def test_what_a_version_does_not_hold_is_refused(store, do):
    with pytest.raises(DataError, match=r"Expected version 0 to hold image .*, which came into the dataset later"):
        do(store, 0, [image_id("a"), image_id("c")])
    with pytest.raises(ArtefactError, match="Expected a dataset version from 0 to 2, got 9"):
        do(store, 9, [image_id("a")])
    assert store.version() == 2
