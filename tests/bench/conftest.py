from __future__ import annotations

import pytest
import torch

from pipeline.bench.scenario import scenarios
from tests.end_to_end.project import write_config


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """One folder of workspaces, so that detectors and what was mined with them serve all benchmarks."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="session")
def config(tiny_data, root):
    hidden = {"annotations": str(tiny_data / "hidden.json"), "images": str(tiny_data / "pool"), "start": 4}
    return write_config(root, tiny_data, selection={"folds": 2}, labeling={"simulated": hidden})


@pytest.fixture(scope="session")
def tiny(config, root):
    """One scenario of the tiny set; how several are gone through is tested with the grid."""
    return scenarios([config], [4], [0], root / "cells")


@pytest.fixture
def never(monkeypatch):
    """Makes a function fail when it is called."""

    def forbid(target):
        def fail(*_given, **_named):
            raise AssertionError(f"{target} was called")

        monkeypatch.setattr(target, fail)

    return forbid
