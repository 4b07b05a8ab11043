"""Every version that changed an image or a box of it, from proposal to correction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.dataset.blame import about_box, blame, find_image
from pipeline.dataset.store import SampleStore
from pipeline.errors import DataError
from pipeline.records import Answer, Source, Split, State
from pipeline.report import frames
from tests.builders import MOMENT, box, image_id, sample

MACHINE = {"score": 0.5, "consistency": 0.25, "p_correct": 0.75, "model_id": "m1"}
DRAWN = box(source=Source.PSEUDO, box_id="b1", proposal_id="p.000", **MACHINE)
WRONG = box(60, 60, 90, 90, source=Source.PSEUDO, box_id="b2", proposal_id="p.001", **MACHINE)
CORRECTED = replace(DRAWN, x2=55.0, box_id="b3", source=Source.CORRECTED, annotation_id="7", annotator="ann")
ANSWER = Answer(image_id("one"), "7", "ann", False, (CORRECTED,), MOMENT, MOMENT, 12.5, deleted=(WRONG,))
POOL = sample("one", split=Split.POOL, state=State.POOL)
PSEUDO = replace(POOL, state=State.PSEUDO, boxes=(DRAWN, WRONG))
LABELED = replace(POOL, state=State.LABELED, split=Split.TRAIN, boxes=(CORRECTED,))


@pytest.fixture
def store(tmp_path):
    """An image that was imported, pseudo-labelled and corrected, beside one that others changed."""
    store = SampleStore(str(tmp_path / "samples"))
    for number, rows in enumerate([[POOL, sample("two")], [PSEUDO], [sample("two", box())], [LABELED]]):
        store.commit(rows, reason=f"reason {number}", key=f"harvest {number}", cycle=number)
    return store


def story(changes):
    return [(c.version.number, c.change, c.box.box_id if c.box else c.detail) for c in changes]


def answers(version):
    return [ANSWER] if version.key == "harvest 3" else []


def test_an_image_that_no_version_holds_has_no_changes(store):
    assert blame(store, image_id("nowhere")) == []
    assert list(frames.blame([]).columns)[:2] == ["version", "committed"]


def test_every_version_that_changed_the_image_or_a_box_is_told_and_no_other(store):
    changes = blame(store, image_id("one"), answers)
    assert story(changes) == [
        (0, "image added", "pool in pool"),
        (1, "state", "pool -> pseudo"),
        (1, "box added", "b1"),
        (1, "box added", "b2"),
        (3, "state", "pseudo -> labeled"),
        (3, "split", "pool -> train"),
        (3, "box removed", "b1"),
        (3, "box removed", "b2"),
        (3, "box added", "b3"),
        (3, "proposal deleted", "b2"),
    ]
    assert changes[-2].seconds == changes[-1].seconds == 12.5
    assert changes[-1].detail == "deleted by ann"
    assert [change.version.reason for change in changes[-2:]] == ["reason 3", "reason 3"]


def test_a_box_is_followed_from_its_proposal_to_its_correction(store):
    changes = blame(store, image_id("one"), answers)
    for box_id in ("b1", "b3"):
        assert story(about_box(changes, box_id)) == [
            (1, "box added", "b1"),
            (3, "box removed", "b1"),
            (3, "box added", "b3"),
        ]
    assert [change for _, change, _ in story(about_box(changes, "b2"))] == [
        "box added",
        "box removed",
        "proposal deleted",
    ]
    corrected = about_box(changes, "b3")[-1].box
    assert (corrected.score, corrected.p_correct, corrected.model_id, corrected.proposal_id) == (
        0.5,
        0.75,
        "m1",
        "p.000",
    )
    with pytest.raises(DataError, match=r"Expected a box_id of the image, got 'b9'\. Leave --box out"):
        about_box(changes, "b9")


def test_proposals_of_two_models_that_share_a_number_are_two_boxes(store):
    other = replace(DRAWN, box_id="b4", model_id="m2")
    store.commit([replace(PSEUDO, boxes=(other,))], reason="r", key="k")
    assert story(about_box(blame(store, image_id("one")), "b4")) == [(4, "box added", "b4")]


def test_a_changed_score_and_a_restore_are_told(store):
    store.commit([replace(LABELED, boxes=(replace(CORRECTED, annotator="bob"),))], reason="r", key="k")
    assert blame(store, image_id("one"))[-1].detail == "annotator ann -> bob"
    store.restore(1, "wrong")
    assert story(blame(store, image_id("one")))[-5:] == [
        (5, "state", "labeled -> pseudo"),
        (5, "split", "train -> pool"),
        (5, "box removed", "b3"),
        (5, "box added", "b1"),
        (5, "box added", "b2"),
    ]


def test_every_row_says_who_drew_the_box_and_how_sure_it_was(store):
    rows = frames.blame(blame(store, image_id("one"), answers)).set_index("box_id")
    row = rows.loc["b3"]
    told = [row[name] for name in ("version", "source", "annotator", "model_id", "p_correct", "proposal_id", "cycle")]
    assert told == [3, "corrected", "ann", "m1", 0.75, "p.000", 3]


@pytest.mark.parametrize("name", ["one.jpg", "/images/one.jpg", "images/one.jpg", image_id("one"), image_id("one")[:9]])
def test_an_image_is_found_by_id_path_or_file_name(store, name):
    assert find_image(store, name) == image_id("one")


def test_an_image_that_a_restore_took_away_is_found(store):
    store.commit([sample("late")], reason="r", key="k")
    store.restore(0, "back")
    assert find_image(store, "late.jpg") == image_id("late")
    assert story(blame(store, image_id("late")))[-1] == (5, "image removed", "labeled in train")


def test_a_name_of_no_image_or_of_several_is_refused(store):
    for name in ("", "three.jpg", "ne.jpg"):
        with pytest.raises(DataError, match=f"got {name!r}, which no version holds"):
            find_image(store, name)
    store.commit([sample("far", uri="/elsewhere/one.jpg")], reason="r", key="k")
    with pytest.raises(DataError, match=r"Expected one image named 'one.jpg', found 2: .*\. Give its image_id\."):
        find_image(store, "one.jpg")
