from dataclasses import replace

import pytest

from pipeline.report import Turn
from pipeline.report.story import facts, headline
from tests.report.builders import MOMENT, NOT_MEASURED, cycle_contents, first_cycle, gate, turns


def _turn(**fields):
    return Turn(**{"cycle": 0, "opened_at": MOMENT, **fields})


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (
            [_turn()],
            "Cycle 0: no model trained, with 0 human-labeled images; no pseudo-labels, as no class is certified; "
            "nobody asked",
        ),
        (
            [_turn(gate=gate(0, 0.361), labeled_images=1, certified=2, asked_images=1)],
            "Cycle 0: test mAP 0.361 with 1 human-labeled image; no pseudo-labels; 1 image asked",
        ),
        (
            [_turn(gate=gate(0, 0.361), labeled_images=1, soft_boxes=613, pseudo_images=212)],
            "Cycle 0: test mAP 0.361 with 1 human-labeled image; no pseudo-labels, as no class is certified, 613 soft "
            "labels; nobody asked",
        ),
        (
            [replace(turns(3)[0], gate=None), *turns(3)[1:]],
            "Cycle 2: test mAP 0.412 (+0.026 since cycle 1) with 44 human-labeled images; 312 pseudo-labels of 3 "
            "certified classes; 10 images asked",
        ),
        (
            [turns(1)[0], replace(turns(2)[1], gate=gate(1, 0.33, promoted=False))],
            "Cycle 1: test mAP 0.330 (−0.031 since cycle 0), but the new model was not promoted, with 34 human-labeled "
            "images; 156 pseudo-labels of 2 certified classes; 10 images asked",
        ),
        (
            [replace(turn, gate=replace(turn.gate, test=NOT_MEASURED)) for turn in turns(2)],
            "Cycle 1: val mAP 0.397 (+0.026 since cycle 0) with 34 human-labeled images; 156 pseudo-labels of 2 "
            "certified classes; 10 images asked",
        ),
    ],
    ids=["nothing yet", "first model", "soft labels alone", "no model at first", "held by the gate", "no test split"],
)
def test_headlines(history, expected):
    assert headline(history) == expected


def test_facts_of_an_empty_and_a_full_cycle():
    assert [(fact.value, fact.detail) for fact in facts(first_cycle())] == [
        ("–", "nothing earlier to compare with"),
        ("0", "0 boxes; 0 images answered this time"),
        ("0", "in 0 images"),
        ("0", ""),
    ]
    held = replace(turns(1)[0], gate=gate(0, 0.3, promoted=False))
    assert facts(replace(first_cycle(), turns=(held,)))[0].detail.endswith("; not promoted")
    full = cycle_contents(turns=turns(3))
    assert [(fact.value, fact.detail) for fact in facts(full)] == [
        ("0.412", "+0.051 since cycle 0; 95 % interval 0.382–0.442"),
        ("44", "262 boxes; 10 images answered this time"),
        ("312", "in 60 images; 3 of 5 classes certified"),
        ("10", "of 210 images in the pool"),
    ]
