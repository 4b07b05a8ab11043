"""Whether boxes are verified or corrected."""

import pytest

from pipeline.artefacts import Acceptance, AcceptanceCount, CycleHarvest
from pipeline.records import TaskKind
from pipeline.selection.asking import Verification, verification
from pipeline.selection.query import Worth
from pipeline.selection.queue import Candidates, plan_queue
from pipeline.settings import LabelingSettings, QuerySettings, SelectionSettings
from tests.selection.pools import make_pool

ASK, AUDIT, BLIND, VERIFY = TaskKind.ASK, TaskKind.AUDIT, TaskKind.BLIND, TaskKind.VERIFY


def boxes(*shares):
    return [{"fate": "ask", "p_correct": share} for share in shares]


def worth(pool, missed):
    values = pool.by_image(pool.column("p_correct"))[0]
    return Worth(values, values, values * 0 + missed)


def chosen(rows, *, least=0.3, unchanged=1.0, missed=0.0):
    pool = make_pool({"one": rows})
    return Verification(least, unchanged).kinds(pool, worth(pool, missed), ["one"])["one"]


@pytest.mark.parametrize(
    ("rows", "options", "kind"),
    [
        ([], {}, ASK),
        (boxes(0.9, 0.8), {}, VERIFY),
        (boxes(0.25, 0.3), {}, ASK),
        (boxes(0.9, 0.8), {"least": None}, ASK),
        (boxes(0.9, 0.8), {"least": 0.9}, ASK),
        (boxes(0.9, 0.8), {"unchanged": 0.2}, ASK),
        (boxes(0.9, 0.8), {"missed": 0.4}, VERIFY),
        (boxes(0.9, 0.8), {"missed": 0.6}, ASK),
        (boxes(0.4), {"missed": 0.4}, ASK),
    ],
)
def test_boxes_are_verified_where_they_are_likely_accepted_and_nothing_is_missed(rows, options, kind):
    assert chosen(rows, **options) is kind


def test_nobody_verifies_what_nobody_sees():
    assert Verification(0.3).kinds(make_pool({}), worth(make_pool({}), 0.0), []) == {}
    hidden = [{"fate": "drop", "p_correct": 0.9}]
    assert chosen(hidden) is ASK


@pytest.mark.parametrize(
    ("settings", "counts", "least", "unchanged"),
    [
        ({}, None, 2 / 7, 1.0),
        ({"verification": False}, None, None, 1.0),
        ({"seconds": {"verify": 3.0, "draw": 6.0}}, None, 0.5, 1.0),
        ({}, AcceptanceCount(shown=60, accepted=20, corrected=30, deleted=10), 2 / 7, 0.5),
    ],
)
def test_the_rule_follows_from_seconds_and_from_what_people_did(settings, counts, least, unchanged):
    harvest = CycleHarvest(acceptance=Acceptance(classes={"bolt": counts})) if counts else None
    rule = verification(LabelingSettings(**settings), harvest)
    assert (rule.least, rule.unchanged) == (pytest.approx(least) if least else None, unchanged)


def test_the_queue_chooses_anew_for_images_that_wait_and_leaves_blind_tasks_and_audits():
    images = {
        "sure": boxes(0.9, 0.9),
        "unsure": boxes(0.2, 0.2),
        "blind": boxes(0.9),
        "audit": [{"fate": "pseudo", "p_correct": 0.99}],
        "new": boxes(0.9),
    }
    pool = make_pool(images)
    query = QuerySettings(images=5, blind_share=0.0, shortlist_factor=1)
    candidates = Candidates(pool, worth(pool, 0.0), verification=Verification(0.3))
    before = {"sure": ASK, "unsure": VERIFY, "blind": BLIND, "audit": AUDIT}
    queue = plan_queue(candidates, before, SelectionSettings(query=query, audit_share=0.0)).queue
    rows = {row["image_id"]: row for row in queue.to_pylist()}
    kinds = {image: TaskKind(row["kind"]) for image, row in rows.items()}
    assert kinds == {"sure": VERIFY, "unsure": ASK, "blind": BLIND, "audit": AUDIT, "new": VERIFY}
    assert (rows["sure"]["boxes"], rows["blind"]["boxes"]) == (2, 0)
    assert rows["sure"]["reason"].startswith("2 boxes to verify; ")
    assert rows["new"]["reason"].startswith("1 box to verify; ")
