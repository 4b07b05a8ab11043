"""Work in threads ahead of whoever takes the results."""

from __future__ import annotations

import threading

import pytest

from pipeline.in_order import in_order


def test_results_come_in_order_whichever_is_ready_first():
    second_is_done = threading.Event()

    def work(number):
        if number == 0:
            assert second_is_done.wait(60)
        if number == 1:
            second_is_done.set()
        return number * 10

    assert list(in_order(work, range(5), threads=2, ahead=3)) == [0, 10, 20, 30, 40]


def test_no_more_is_begun_than_is_wanted():
    begun = []
    results = in_order(begun.append, iter(range(100)), threads=2, ahead=3)
    next(results)
    next(results)
    results.close()
    assert sorted(begun) == [0, 1, 2, 3]


def test_a_fault_comes_in_its_place():
    results = in_order(lambda number: 1 // number, [2, 1, 0, 1], threads=2, ahead=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
