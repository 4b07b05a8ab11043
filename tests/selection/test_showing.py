from __future__ import annotations

import pytest

from pipeline.artefacts import Acceptance, AcceptanceCount, CycleHarvest, PricedAnswers
from pipeline.selection.showing import is_hidden, is_shown, shown_boxes, shown_from
from pipeline.settings import SecondsSettings
from tests.selection.evidence import selection_of


def place(x1, p_correct=0.9, label="bolt", width=40.0, **values):
    return {"x1": x1, "x2": x1 + width, "p_correct": p_correct, "label": label, **values}


# From which p(correct)


def treated(accepted=0, corrected=0, priced=None):
    counts = {"bolt": AcceptanceCount(accepted + corrected, accepted, corrected)}
    return CycleHarvest(acceptance=Acceptance(classes=counts), priced=priced or PricedAnswers())


@pytest.mark.parametrize(
    ("seconds", "harvest", "expected"),
    [
        ({}, None, 2 / (7 - 2 + 2)),
        ({}, CycleHarvest(), 2 / (7 - 2 + 2)),
        ({"draw": 4}, None, 2 / (4 - 2 + 2)),
        ({"delete": 0}, None, 0.0),
        ({"draw": 2}, None, None),
        ({"draw": 1}, None, None),
        ({}, treated(accepted=90), 2 / (7 - 2 + 2)),
        ({}, treated(corrected=10), 2 / (7 - 3.5 + 2)),
        ({"adjust": 12.0}, treated(corrected=10), None),
        ({}, treated(priced=PricedAnswers(4, 99.0, 100.0)), 2 / 7),
        ({}, treated(priced=PricedAnswers(4, 101.0, 100.0)), None),
    ],
    ids=[
        "as the settings have it",
        "nobody has answered",
        "drawing is quick",
        "deleting is free",
        "drawing is as quick as verifying",
        "drawing is quicker",
        "people accept",
        "people move",
        "moving takes longer than drawing",
        "boxes saved time",
        "boxes cost time",
    ],
)
def test_the_threshold_follows_from_the_seconds(seconds, harvest, expected):
    least = shown_from(SecondsSettings(**seconds), harvest)
    assert least == (None if expected is None else pytest.approx(expected))


def test_at_the_threshold_showing_costs_as_much_as_it_saves():
    seconds = SecondsSettings(draw=9, delete=3, verify=1)
    least = shown_from(seconds, None)
    assert least * (seconds.draw - seconds.verify) == pytest.approx((1 - least) * seconds.delete)


# Which boxes


@pytest.mark.parametrize(
    ("rows", "least", "shown"),
    [
        ([], 0.3, []),
        ([place(0), place(100, 0.3), place(200, 0.31)], 0.3, [True, False, True]),
        ([place(0), place(100)], None, [False, False]),
        ([place(0, 0.8), place(0, 0.9), place(0, 0.7, "nut")], 0.3, [False, True, False]),
        ([place(0, 0.8), place(20, 0.9, width=20.0)], 0.3, [False, True]),
        ([place(0, 0.8), place(21, 0.9, width=19.0)], 0.3, [True, True]),
        ([place(0, 0.9), place(10, 0.8), place(20, 0.7)], 0.3, [True, False, True]),
        ([place(0, 0.9, image_id="i1"), place(0, 0.8)], 0.3, [True, True]),
        ([place(0, 0.9, fate="drop"), place(0, 0.8, fate="pseudo")], 0.3, [False, True]),
    ],
    ids=[
        "nothing",
        "only what pays",
        "nothing pays",
        "one per object, of any class",
        "half of it",
        "less than half",
        "a chain",
        "other images",
        "dropped",
    ],
)
def test_which_boxes_are_shown(rows, least, shown):
    assert is_shown(selection_of(*rows), least).tolist() == shown


def test_the_likeliest_hidden_box_of_an_object_stands_for_it():
    rows = [place(0), place(5, 0.8), place(100, 0.2), place(100, 0.1), place(200, 0.02, fate="drop")]
    selection = selection_of(*rows)
    assert is_hidden(selection, is_shown(selection, 0.3)).tolist() == [False, False, True, False, True]


# What is said of them


def test_the_most_doubtful_box_comes_first():
    rows = [place(0, 0.99), place(100, 0.55), place(200, 0.31)]
    (boxes,) = shown_boxes(selection_of(*rows), 0.3).values()
    assert [box.row["x1"] for box in boxes] == [100.0, 200.0, 0.0]


def test_the_likeliest_other_class_at_a_place_is_its_rival():
    rows = [place(0, 0.5), place(2, 0.1, "washer"), place(1, 0.4, "nut"), place(100, 0.6), place(100, 0.5)]
    (boxes,) = shown_boxes(selection_of(*rows), 0.3).values()
    assert [(box.row["x1"], box.rival) for box in boxes] == [(0.0, "nut"), (100.0, "")]


@pytest.mark.parametrize(("label", "duplicate"), [("bolt", True), ("nut", False)])
def test_a_box_inside_a_likelier_one_of_its_class_may_be_a_duplicate(label, duplicate):
    rows = [place(0, 0.9, width=100.0), place(0, 0.5, label, width=40.0)]
    (boxes,) = shown_boxes(selection_of(*rows), 0.3).values()
    assert [(box.row["p_correct"], box.duplicate) for box in boxes] == [
        (pytest.approx(0.5), duplicate),
        (pytest.approx(0.9), False),
    ]


def test_an_image_without_a_shown_box_has_none():
    assert shown_boxes(selection_of(place(0, 0.2), place(0, image_id="i1")), 0.3).keys() == {"i1"}
    assert shown_boxes(selection_of(), 0.3) == {}
