from __future__ import annotations

import pytest

from pipeline.settings import MiningSettings


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({}, True),
        ({"runner": "processes", "workers": 4}, True),
        ({"runner": "dask", "dask_scheduler": "tcp://host:8786"}, True),
        ({"hosts": 4}, False),
        ({"look_budget": 0.5}, False),
        ({"passes": None}, False),
    ],
)
def test_what_is_found_does_not_depend_on_who_looks(changes, alike):
    assert MiningSettings().finds_as(MiningSettings(**changes)) is alike
