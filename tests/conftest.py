"""What all tests share. One thread each: what is tested is small, and idle threads only get in the way."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import pytest

from tests.end_to_end import project


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    return project.generate(tmp_path_factory.mktemp("tiny") / "data")


ONE_SERVER = ("flows", "label_studio")
"""Folders whose tests share a server."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in a hook of the same name
def pytest_collection_modifyitems(items):
    """Keep what shares a server, or else a file, in one of the processes that run side by side."""
    for item in items:
        folder = item.path.parent
        item.add_marker(pytest.mark.xdist_group(str(folder if folder.name in ONE_SERVER else item.path)))
