from __future__ import annotations

import numpy as np
import pytest

from pipeline.bench.measures import correlation, mean


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([None], None), ([1.0, None, 3.0], 2.0), ([0.0, None], 0.0)]
)
def test_a_mean_is_over_what_was_measured(values, expected):
    assert mean(values) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([1, 2, 3], [2, 4, 6], 1.0), ([1, 2, 3], [3, 2, 1], -1.0), ([1, 2, 3], [1, 1, 1], None), ([2, 2], [1, 3], None)],
)
def test_correlation(first, second, expected):
    found = correlation(np.array(first, dtype=float), np.array(second, dtype=float))
    assert found == (expected if expected is None else pytest.approx(expected))
