from __future__ import annotations

import numpy as np
import pytest

from pipeline.artefacts import Acceptance, AcceptanceCount, CycleHarvest
from pipeline.selection.costs import Costs
from pipeline.selection.query import Worth, choose_images
from pipeline.settings import QuerySettings, SecondsSettings
from tests.selection.pools import make_pool

COSTS = Costs(look=3.0, draw=7.0, keep=2.0, delete=1.0)


def row(p_correct, x1):
    return {"fate": "ask", "p_correct": p_correct, "x1": x1, "x2": x1 + 40.0}


def test_costs_follow_what_people_did():
    counts = {"bolt": AcceptanceCount(10, 0, 10)}
    moved = CycleHarvest(acceptance=Acceptance(classes=counts))
    assert Costs.of(SecondsSettings(), None) == Costs(3.0, 7.0, 2.0, 2.0)
    assert Costs.of(SecondsSettings(), moved) == Costs(3.0, 7.0, 3.5, 2.0)


@pytest.mark.parametrize(
    ("rows", "missed", "seconds"),
    [
        ([], 0.0, 3.0),
        ([], 2.0, 3.0 + 14.0),
        ([row(1.0, 0.0), row(0.5, 100.0)], 0.0, 3.0 + 1.5 * 2.0 + 0.5 * 1.0),
        ([row(1.0, 0.0), row(0.5, 5.0)], 0.0, 3.0 + 2.0),
    ],
    ids=["an empty image", "all to draw", "one to keep and one in doubt", "two boxes of one object"],
)
def test_expected_seconds(rows, missed, seconds):
    pool = make_pool({"a": rows})
    assert COSTS.expected(pool, np.array([missed])).tolist() == pytest.approx([seconds])


def test_no_answer_takes_less_than_a_second():
    free = Costs(0.0, 7.0, 0.0, 0.0)
    assert free.expected(make_pool({"a": []}), np.zeros(1)).tolist() == [1.0]


def test_a_crowded_image_must_bring_more():
    crowd = [row(0.9, 100.0 * place) for place in range(8)]
    pool = make_pool({"crowded": crowd, "doubtful": [row(0.5, 0.0)]}, budget=1)
    worth = Worth(np.array([0.72, 0.25]), np.array([0.72, 0.25]), np.zeros(2))
    settings = QuerySettings(shortlist_factor=1)
    assert choose_images(pool, worth, settings) == ["crowded"]
    assert choose_images(pool, worth.per(COSTS.expected(pool, worth.misses)), settings) == ["doubtful"]
