from dataclasses import replace

import pytest

from pipeline.report import Turn
from pipeline.report.artefacts import Harvest, Push
from pipeline.report.measures import AuditCount, Calibration, Certificates, Evidence
from pipeline.report.story import attention, facts, headline
from tests.report.builders import MOMENT, calibration, cycle_contents, first_cycle, gate, scenes, turns, versions

QUIET = replace(
    cycle_contents(scenes(10)),
    issues=(),
    audit=None,
    harvest=Harvest(answered=3),
    certificates=Certificates(0.95, 0.95, {}),
    versions=(),
)
"""A cycle with nothing to complain about but its lack of certificates."""


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
            [replace(turn, gate=replace(turn.gate, test=None)) for turn in turns(2)],
            "Cycle 1: val mAP 0.397 (+0.026 since cycle 0) with 34 human-labeled images; 156 pseudo-labels of 2 "
            "certified classes; 10 images asked",
        ),
    ],
    ids=["nothing yet", "first model", "soft labels alone", "no model at first", "held by the gate", "no test split"],
)
def test_headlines(history, expected):
    assert headline(history) == expected


def test_the_first_cycle_is_told_to_wait_for_a_certificate():
    assert [(one.tone, one.section) for one in attention(first_cycle())] == [
        ("warn", "model"),
        ("note", "certificates"),
    ]


def test_a_good_cycle_needs_no_attention():
    assert attention(replace(QUIET, certificates=_certified(True))) == ()


def _certified(*certified):
    known = cycle_contents(scenes(10)).certificates.classes["bolt"]
    classes = {f"class {place}": replace(known, certified=one) for place, one in enumerate(certified)}
    return Certificates(0.95, 0.95, classes)


def _evidence(fused, plain):
    return Calibration(9, {"crosscheck": Evidence(fused), "confidence": Evidence(plain)})


@pytest.mark.parametrize(
    ("fields", "tone", "text"),
    [
        (
            {"certificates": _certified(True, False, False)},
            "warn",
            "No pseudo-labels of class 1 and class 2: a precision of 95 %",
        ),
        ({"audit": {"bolt": AuditCount(200, 150)}}, "bad", "bolt is 0.750 (150 of 200), below the promised 0.950"),
        (
            {"audit": {"bolt": AuditCount(20, 18)}},
            "warn",
            "0.900 (18 of 20), under, though within chance of, the promised",
        ),
        ({"push": Push(1, 0, {"a": "too large"})}, "bad", "1 image could not be pushed"),
        ({"issues": cycle_contents(scenes(1)).issues}, "warn", "2 quarantined, 1 converted, 1 moved to train."),
        ({"issues": cycle_contents(scenes(1)).issues[2:3]}, "note", "Files with problems: 1 converted."),
        ({"calibration": _evidence(0.9, 0.91)}, "warn", "did not beat confidence alone (AUROC 0.900 against 0.910)"),
        ({"harvest": Harvest(1, notes=(("a", "b"),))}, "warn", "1 answer needed repair"),
        ({"harvest": None}, "warn", "No new answers from people"),
        ({"harvest": Harvest(0)}, "warn", "No new answers from people"),
        ({"versions": versions(1)}, "note", "10 images in the queue"),
        ({"versions": (replace(versions(1)[0], counts={}),)}, "note", "The pool is empty"),
    ],
)
def test_notices(fields, tone, text):
    base = replace(QUIET, certificates=_certified(True))
    found = attention(replace(base, **fields))
    assert [notice.tone for notice in found if text in notice.text] == [tone], [notice.text for notice in found]


@pytest.mark.parametrize(
    "fields",
    [
        {"audit": {"bolt": AuditCount(0, 0), "nut": AuditCount(20, 20)}},
        {"calibration": calibration()},
        {"calibration": _evidence(None, 0.9)},
        {"push": Push(3, 2)},
    ],
)
def test_what_is_well_raises_no_notice(fields):
    assert attention(replace(QUIET, certificates=_certified(True), **fields)) == ()


def test_a_model_that_was_held_and_fell_is_told_first():
    history = (*turns(2), replace(turns(3)[2], gate=gate(2, 0.3, promoted=False)))
    found = attention(replace(QUIET, turns=history))
    assert found[0].tone == "bad"
    assert found[0].text == (
        "The new model was not promoted: val mAP 0.310 is below the champion's 0.342. Model 01c0ffee1234 stays in use."
    )
    assert "mAP on test fell by 0.087 since cycle 1." in [notice.text for notice in found]
    assert [one.tone for one in found] == sorted((one.tone for one in found), key=["bad", "warn", "note"].index)


def test_facts_of_an_empty_and_a_full_cycle():
    assert [(fact.value, fact.detail) for fact in facts(first_cycle())] == [
        ("–", "nothing earlier to compare with"),
        ("0", "0 boxes; 0 images answered this time"),
        ("0", "in 0 images"),
        ("0", ""),
    ]
    held = replace(turns(1)[0], gate=gate(0, 0.3, promoted=False))
    assert facts(replace(first_cycle(), turns=(held,)))[0].detail.endswith("; not promoted")
    full = replace(QUIET, versions=versions(5), turns=turns(3))
    assert [(fact.value, fact.detail) for fact in facts(full)] == [
        ("0.412", "+0.051 since cycle 0; 95 % interval 0.382–0.442"),
        ("44", "262 boxes; 10 images answered this time"),
        ("312", "in 60 images; 3 of 5 classes certified"),
        ("10", "80 left in the pool"),
    ]
