from collections import Counter

import numpy as np
import pytest
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes, is_valid
from pipeline.labeling.annotator_noise import claim, deleted, draw
from tests.builders import box, task

LABELS = ("bolt", "nut", "gear")
TRUTH = [box(10 * i, 10, 10 * i + 8, 30) for i in range(30)]


def drawn(truth=TRUTH, labels=LABELS, rate=1.0, seed=0):
    return draw(truth, task(), labels, rate, np.random.default_rng(seed))


def test_no_boxes_no_mistakes():
    assert drawn([]) == []
    assert claim([], [], 0.9) == []
    assert claim([], [box()], 0.9) == []


def test_without_errors_the_truth_is_drawn():
    assert drawn(rate=0.0) == TRUTH


def test_every_kind_of_mistake_happens_about_equally_and_each_is_what_it_says():
    truth = [box(100, 100, 140, 160, box_id=str(i)) for i in range(600)]
    found = {b.box_id: b for b in drawn(truth)}
    kinds: Counter[str] = Counter()
    for original in truth:
        b = found.get(original.box_id)
        if b is None:
            kinds["missed"] += 1
        elif b.label != original.label:
            assert b.xyxy == original.xyxy
            assert b.label in LABELS
            kinds["mislabeled"] += 1
        else:
            overlap = float(box_iou(as_boxes(b.xyxy), as_boxes(original.xyxy)))
            assert 0.32 < overlap < 0.57
            kinds["moved"] += 1
    assert set(kinds) == {"missed", "mislabeled", "moved"}
    assert min(kinds.values()) > 150


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_mistakes_happen_at_their_rate(rate):
    truth = [box(100, 100, 140, 160, box_id=str(i)) for i in range(2000)]
    right = sum(b in truth for b in drawn(truth, rate=rate))
    assert abs(1 - right / 2000 - rate) < 0.04


def test_with_one_class_nothing_is_mislabeled():
    assert {b.label for b in drawn(labels=("bolt",))} == {"bolt"}


def test_moved_boxes_stay_in_the_image():
    corners = [(0, 0, 5, 5), (315, 235, 320, 240), (0, 0, 320, 240), (0, 100, 320, 101)]
    truth = [box(*corner) for corner in corners] * 50
    assert is_valid(as_boxes([b.xyxy for b in drawn(truth, labels=("bolt",))]), 320, 240).all()


def test_the_same_seed_makes_the_same_mistakes():
    assert drawn(seed=3) == drawn(seed=3)
    assert drawn(seed=3) != drawn(seed=4)


@pytest.mark.parametrize(
    ("person", "machine", "expected"),
    [
        ([box(0, 0, 100, 100)], [], [("human", "bolt", (0, 0, 100, 100))]),
        ([box(0, 0, 100, 100)], [box(0, 0, 100, 96)], [("accepted", "bolt", (0, 0, 100, 96))]),
        ([box(0, 0, 100, 100)], [box(0, 0, 100, 70)], [("corrected", "bolt", (0, 0, 100, 100))]),
        ([box(0, 0, 100, 100)], [box(0, 0, 100, 96, "nut")], [("corrected", "bolt", (0, 0, 100, 100))]),
        ([box(0, 0, 100, 100)], [box(0, 0, 100, 40)], [("human", "bolt", (0, 0, 100, 100))]),
        (
            [box(0, 0, 100, 100)],
            [box(0, 0, 100, 100, "nut"), box(0, 0, 100, 95)],
            [("accepted", "bolt", (0, 0, 100, 95))],
        ),
        (
            [box(0, 0, 100, 100), box(0, 0, 100, 99)],
            [box(0, 0, 100, 99)],
            [("human", "bolt", (0, 0, 100, 100)), ("accepted", "bolt", (0, 0, 100, 99))],
        ),
        (
            [box(0, 0, 10, 10), box(50, 50, 60, 60)],
            [box(50, 50, 60, 60), box(0, 0, 10, 10)],
            [("accepted", "bolt", (0, 0, 10, 10)), ("accepted", "bolt", (50, 50, 60, 60))],
        ),
    ],
)
def test_what_a_person_takes_up_from_the_machine(person, machine, expected):
    assert [(str(b.source), b.label, b.xyxy) for b in claim(person, machine, 0.9)] == expected


def test_what_is_taken_up_keeps_what_the_machine_said_and_the_rest_is_deleted():
    said = {"score": 0.4, "consistency": 0.5, "p_correct": 0.7, "model_id": "m1"}
    shown = [box(0, 0, 100, 70, proposal_id="p.000", **said), box(200, 200, 220, 220, proposal_id="p.001", **said)]
    drawn_anew = box(120, 0, 180, 60)
    taken, anew = claim([box(0, 0, 100, 100), drawn_anew], shown, 0.9)
    assert {name: getattr(taken, name) for name in said} == said
    assert (taken.proposal_id, str(taken.source)) == ("p.000", "corrected")
    assert (anew.proposal_id, anew.score, anew.model_id) == (None, None, None)
    assert deleted([box(0, 0, 100, 100), drawn_anew], shown, 0.9) == (shown[1],)
    assert deleted([], shown, 0.9) == tuple(shown)
