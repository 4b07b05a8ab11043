"""What people have drawn so far, counted without a record per image."""

from collections import Counter

from pipeline.dataset.store import SampleStore
from pipeline.records import Split, State
from pipeline.selection.planning import count_drawn
from tests.builders import box, sample


def test_no_labelled_image_no_counts(tmp_path):
    store = SampleStore(str(tmp_path / "samples"))
    store.commit([sample("pool", split=Split.POOL, state=State.POOL)], reason="r", key="k")
    assert count_drawn(store) == ({}, 0)


def test_boxes_of_labelled_training_images_are_counted_by_class(tmp_path):
    nut = box(1, 1, 9, 9, label="nut")
    rows = [
        sample("one", box(), nut),
        sample("two", nut),
        sample("empty"),
        sample("val", nut, split=Split.VAL),
        sample("machine's", nut, split=Split.POOL, state=State.PSEUDO),
    ]
    store = SampleStore(str(tmp_path / "samples"))
    store.commit(rows, reason="r", key="k")
    learnt = store.labeled(Split.TRAIN)
    assert count_drawn(store) == (Counter(box.label for row in learnt for box in row.boxes), 3)
