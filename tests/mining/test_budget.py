import numpy as np
import pytest

from pipeline.mining.budget import PassBudget


def paid(budget, *prices, wanted=None):
    wanted = [True] * len(prices) if wanted is None else wanted
    return budget.spend(np.array(wanted, dtype=bool), np.array(prices, dtype=float)).tolist()


def test_nothing_is_paid_before_an_image_was_seen():
    assert paid(PassBudget(1.0), 0.5, 0.0) == [False, False]


def test_the_first_ones_are_paid_first():
    budget = PassBudget(0.5)
    budget.add_images(4)
    assert paid(budget, 1.5, 1.0, 0.5) == [True, False, False]
    assert paid(budget, 0.5) == [True], "what is left stays"
    assert paid(budget, 0.1) == [False]


def test_what_is_not_wanted_costs_nothing():
    budget = PassBudget(1.0)
    budget.add_images(1)
    assert paid(budget, 5.0, 1.0, wanted=[False, True]) == [False, True]


@pytest.mark.parametrize(("limit", "is_paid"), [(None, True), (0.0, False)])
def test_no_limit_and_no_money(limit, is_paid):
    budget = PassBudget(limit)
    budget.add_images(1)
    assert paid(budget, 1e9, 1e9) == [is_paid, is_paid]


def test_nobody_is_waiting():
    assert paid(PassBudget(None)) == []
