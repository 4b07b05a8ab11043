from dataclasses import replace

import pytest

from pipeline.artefacts import (
    Acceptance,
    AcceptanceCount,
    AnswerRemark,
    AuditCount,
    Calibration,
    ClassMetrics,
    ClassStanding,
    CycleHarvest,
    PricedAnswers,
    PushRun,
    ScoreQuality,
)
from pipeline.report.notices import attention
from tests.report.builders import (
    ISSUES,
    calibration,
    certificate,
    certificates,
    cycle_contents,
    first_cycle,
    gate,
    metrics,
    turns,
    versions,
)
from tests.report.scenes import scenes

STAMPED = AcceptanceCount(shown=100, accepted=98, blind=50, confirmed=30)
WITHDRAWN = ClassStanding(withdrawn_in=2, needed="withdrawn in cycle 2")
QUIET = replace(
    cycle_contents(scenes(10)),
    issues=(),
    audit=None,
    harvest=CycleHarvest(answered=3),
    certificates=certificates(),
    versions=(),
)
"""A cycle with nothing to complain about but its lack of certificates."""


def test_the_first_cycle_waits_for_a_certificate():
    assert [(notice.tone, notice.section) for notice in attention(first_cycle())] == [
        ("warn", "model"),
        ("note", "certificates"),
    ]


def test_a_good_cycle_needs_no_attention():
    assert attention(replace(QUIET, certificates=_certified(True))) == ()


def _certified(*certified):
    return certificates(*(certificate(f"class {place}", own) for place, own in enumerate(certified)))


def _never_found(boxes=40):
    own = metrics(0.4)
    return gate(2, 0.4, test=replace(own, per_class={**own.per_class, "bolt": ClassMetrics(0.0, 0.0, boxes=boxes)}))


def _scores(fused, plain):
    return Calibration(9, {"crosscheck": ScoreQuality(fused), "confidence": ScoreQuality(plain)})


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
        ({"push": PushRun(created=1, refused={"a": "too large"})}, "bad", "1 image could not be pushed"),
        (
            {"push": PushRun(failed="connection refused")},
            "bad",
            "Nothing could be pushed to the annotators; the next cycle tries again: connection refused.",
        ),
        ({"issues": ISSUES}, "warn", "2 quarantined, 1 converted, 1 moved to train."),
        ({"issues": ISSUES[2:3]}, "note", "Files with problems: 1 converted."),
        ({"calibration": _scores(0.9, 0.91)}, "warn", "did not beat confidence alone (AUROC 0.900 against 0.910)"),
        ({"harvest": CycleHarvest(answered=1, notes=(("a", "b"),))}, "warn", "1 answer needed repair"),
        ({"harvest": None}, "warn", "No new answers from people"),
        ({"harvest": CycleHarvest()}, "warn", "No new answers from people"),
        (
            {"harvest": CycleHarvest(answered=9, acceptance=Acceptance(9, 9, {"bolt": STAMPED}))},
            "warn",
            "0.980 of the bolt boxes that they see unchanged, but draw only 0.600 of those that they do not see",
        ),
        (
            {"turns": (*turns(2), replace(turns(3)[2], priced=PricedAnswers(2, 160.0, 130.0)))},
            "warn",
            "The machine's boxes cost people time: 80 s an image with them, 65 s without; none is shown in this cycle.",
        ),
        (
            {"harvest": CycleHarvest(answered=1, remarks=(AnswerRemark("fast", "i", "/a/b.png", "ann", "in 1 s"),))},
            "warn",
            "b.png, ann: in 1 s.",
        ),
        (
            {"turns": (*turns(2), replace(turns(3)[2], gate=_never_found()))},
            "bad",
            "No bolt is ever found: AP 0.000 with 40 objects in test.",
        ),
        ({"standings": {"bolt": WITHDRAWN}}, "bad", "No pseudo-labels of bolt: withdrawn in cycle 2."),
        ({"versions": versions(1)}, "note", "10 images in the queue"),
        (
            {"versions": versions(1), "asks_people": False},
            "note",
            "Nobody is asked, as labeling.backend is none; 10 images chosen for the day that somebody is.",
        ),
        ({"versions": (replace(versions(1)[0], counts={}),)}, "note", "The pool is empty"),
    ],
)
def test_notices(fields, tone, text):
    base = replace(QUIET, certificates=_certified(True))
    notices = attention(replace(base, **fields))
    assert [notice.tone for notice in notices if text in notice.text] == [tone], [notice.text for notice in notices]


@pytest.mark.parametrize(
    "fields",
    [
        {"audit": {"bolt": AuditCount(0, 0), "nut": AuditCount(20, 20)}},
        {"calibration": calibration()},
        {"calibration": _scores(None, 0.9)},
        {"push": PushRun(created=3, existing=2)},
        {"standings": {"bolt": ClassStanding(boxes=9, right=9)}},
    ],
)
def test_what_is_well_raises_no_notice(fields):
    assert attention(replace(QUIET, certificates=_certified(True), **fields)) == ()


def test_a_model_that_was_held_and_fell_comes_first():
    history = (*turns(2), replace(turns(3)[2], gate=gate(2, 0.3, promoted=False)))
    notices = attention(replace(QUIET, turns=history))
    assert notices[0].tone == "bad"
    assert notices[0].text == (
        "The new model was not promoted: val mAP 0.310 is below the champion's 0.342. Model 01c0ffee1234 stays in use."
    )
    assert "mAP on test fell by 0.087 since cycle 1." in [notice.text for notice in notices]
    assert [notice.tone for notice in notices] == sorted(
        (notice.tone for notice in notices), key=["bad", "warn", "note"].index
    )


def test_the_first_remarks_of_a_kind_are_named_with_their_task_and_the_rest_are_counted():
    found = tuple(AnswerRemark("fast", str(n), f"/a/{n}.png", "ann", f"in {n} s", f"http://here/{n}") for n in range(5))
    harvest = CycleHarvest(answered=5, remarks=(*found, AnswerRemark("empty", "e", "", "bob", "nothing")))
    notices = attention(replace(QUIET, certificates=_certified(True), harvest=harvest))
    assert [(notice.text, notice.link) for notice in notices] == [
        ("0.png, ann: in 0 s.", "http://here/0"),
        ("1.png, ann: in 1 s.", "http://here/1"),
        ("2.png, ann: in 2 s.", "http://here/2"),
        ("2 more answers of the same kind, such as: in 4 s.", ""),
        ("e, bob: nothing.", ""),
    ]


def test_a_class_of_few_objects_may_go_unfound():
    history = (*turns(2), replace(turns(3)[2], gate=_never_found(boxes=9)))
    notices = attention(replace(QUIET, certificates=_certified(True), turns=history))
    assert not [notice for notice in notices if "ever found" in notice.text]


def test_where_nobody_is_asked_no_answers_are_missed():
    unanswered = replace(QUIET, certificates=_certified(True), harvest=None)
    assert [notice.text for notice in attention(unanswered)] == ["No new answers from people since the cycle before."]
    notices = attention(replace(unanswered, asks_people=False))
    assert [notice.text for notice in notices] == ["Nobody is asked, as labeling.backend is none."]
