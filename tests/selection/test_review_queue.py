from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.dataset.store import SampleStore
from pipeline.records import Source, Split, State, Task
from pipeline.selection.review_queue import REVIEW_SCHEMA, review_queue
from pipeline.selection.review_share import review_images, without_reviews
from pipeline.selection.review_tasks import in_words, reason_of_review, review_tasks
from pipeline.selection.suspects import DETECTION_SCHEMA, Suspicion
from pipeline.settings import QuerySettings, SecondsSettings, SelectionSettings
from tests.builders import MOMENT, box, image_id, sample

BOLT = box(10, 10, 50, 50, box_id="bolt")
AGAIN = box(11, 10, 51, 50, box_id="again")
SECONDS = SecondsSettings(look=3, draw=7, adjust=5, relabel=3, delete=2, verify=2)


def stored(folder, *samples):
    store = SampleStore(str(folder / "samples"))
    store.commit(list(samples), reason="import", key="import")
    return store


def detected(name, label, corners, p_correct):
    row = {"image_id": image_id(name), "box_id": "seen", "label": label, "p_correct": p_correct}
    return pa.Table.from_pylist(
        [{**row, **dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True))}], DETECTION_SCHEMA
    )


def nothing():
    return DETECTION_SCHEMA.empty_table()


def test_images_whose_labels_contradict_nothing_are_left_alone(tmp_path):
    queue = review_queue(stored(tmp_path, sample("one", BOLT), sample("empty")), nothing(), SECONDS)
    assert queue.images.equals(REVIEW_SCHEMA.empty_table())


def test_the_gain_is_what_is_mended_per_second(tmp_path):
    store = stored(tmp_path, sample("one", BOLT, AGAIN))
    (row,) = review_queue(store, nothing(), SECONDS).images.to_pylist()
    assert row["image_id"] == image_id("one")
    assert row["boxes"] == 2
    assert row["expected"] == pytest.approx(0.9)
    assert row["p_any"] == pytest.approx(0.9)
    assert row["seconds"] == pytest.approx(3 + 2 * 2 + 0.9 * 2)
    assert row["gain"] == pytest.approx(0.9 / 8.8)


def test_the_same_mistake_is_worth_more_where_there_is_less_to_look_at(tmp_path):
    others = [box(100 + 30 * place, 100, 120 + 30 * place, 120) for place in range(4)]
    store = stored(tmp_path, sample("crowded", BOLT, AGAIN, *others), sample("bare", BOLT, AGAIN))
    queue = review_queue(store, nothing(), SECONDS)
    assert queue.images["image_id"].to_pylist() == [image_id("bare"), image_id("crowded")]
    assert set(queue.first(1).suspects["image_id"].to_pylist()) == {image_id("bare")}


@pytest.mark.parametrize(
    "fields",
    [{"split": Split.TEST}, {"split": Split.POOL, "state": State.PSEUDO}, {"split": Split.POOL, "state": State.QUEUED}],
)
def test_only_labels_of_train_and_val_are_reviewed(tmp_path, fields):
    store = stored(tmp_path, sample("one", BOLT, AGAIN, **fields))
    assert review_queue(store, nothing(), SECONDS).images.num_rows == 0


def test_reviewed_images_are_passed_over(tmp_path):
    store = stored(tmp_path, sample("one", BOLT, AGAIN), sample("two", BOLT, AGAIN, split=Split.VAL))
    queue = review_queue(store, nothing(), SECONDS, {image_id("one")})
    assert queue.images["image_id"].to_pylist() == [image_id("two")]


def test_a_task_shows_the_labels_the_most_doubtful_first_and_says_why(tmp_path):
    known = sample("one", replace(BOLT, source=Source.HUMAN), AGAIN)
    queue = review_queue(stored(tmp_path, known), detected("one", "nut", (200, 10, 240, 50), 0.96), SECONDS)
    (task,) = review_tasks([known], queue, Task("", "", 0, 0, (), 0.0, "", asked_at=MOMENT))
    assert [shown.box_id for shown in task.boxes] == ["again", "bolt"]
    assert [shown.proposal_id for shown in task.boxes] == ["again", "bolt"]
    assert [shown.p_correct for shown in task.boxes] == pytest.approx([0.1, 1.0])
    assert task.reason == "labels to review; one bolt or two?; 1 nut may be missed, upper right"
    assert task.doubts == {"again": "perhaps a duplicate"}
    assert task.kind.shows_boxes
    assert (task.rank, task.asked_at) == (1, MOMENT)


@pytest.mark.parametrize("suspicion", Suspicion)
def test_every_suspicion_has_words(suspicion):
    row = {"suspicion": str(suspicion), "label": "axle", "rival": "nut", "p_wrong": 0.5}
    row |= {"x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0}
    named = "nut" if suspicion in {Suspicion.TWO_CLASSES, Suspicion.WRONG_CLASS, Suspicion.DISPUTED} else "axle"
    said = {Suspicion.DUPLICATE: "a duplicate", Suspicion.MISPLACED: "in place"}.get(suspicion, named)
    assert said in in_words(row)
    assert reason_of_review([row], (90, 90)).startswith("labels to review; ")
    assert named in reason_of_review([row], (90, 90))


def test_missing_boxes_are_counted_by_class():
    rows = [
        {"suspicion": "missing", "label": label, "rival": "", "p_wrong": 0.5, "x1": x, "y1": 0.0, "x2": x, "y2": 9.0}
        for label, x in (("nut", 1.0), ("nut", 80.0))
    ]
    assert reason_of_review(rows, (90, 90)) == "labels to review; 2 nuts may be missed"
    rows[1]["label"] = "box"
    assert reason_of_review(rows, (90, 90)) == "labels to review; 2 objects may be missed"


def test_fractions_of_a_review_are_carried_over():
    query = QuerySettings(images=5, review_share=0.3)
    assert [review_images(query, cycle) for cycle in range(4)] == [1, 2, 1, 2]
    left = [without_reviews(SelectionSettings(query=query), cycle).query.images for cycle in range(4)]
    assert left == [4, 3, 4, 3]
    assert without_reviews(SelectionSettings(), 3) == SelectionSettings()


def test_labels_that_two_sources_see_differently_are_reviewed_with_the_source_named(tmp_path):
    disputed = {image_id("plain"): "/data/other", image_id("elsewhere"): "/data/other"}
    store = stored(tmp_path, sample("plain", BOLT), sample("doubled", BOLT, AGAIN), sample("bare"))
    queue = review_queue(store, nothing(), SECONDS, disputed=disputed)
    assert set(queue.images["image_id"].to_pylist()) == {image_id("plain"), image_id("doubled")}
    assert queue.suspects.filter(pc.field("suspicion") == "disputed")["image_id"].to_pylist() == [image_id("plain")]
    (_, task) = review_tasks(store.samples(), queue, Task("", "", 0, 0, (), 0.0, "", asked_at=MOMENT))
    assert task.reason == "labels to review; /data/other has other labels"
    assert task.doubts == {}
    assert review_queue(store, nothing(), SECONDS, [image_id("plain")], disputed).images.num_rows == 1
