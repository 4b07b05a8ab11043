"""What all tests share. One thread each: what is tested is small, and idle threads only get in the way."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import pytest

from tests.end_to_end import project


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    return project.generate(tmp_path_factory.mktemp("tiny") / "data")
