from __future__ import annotations

import pytest

from tests.end_to_end import project


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    return project.generate(tmp_path_factory.mktemp("tiny") / "data")
