"""What all tests share. One thread each: what is tested is small, and idle threads only get in the way."""

from __future__ import annotations

import os
import signal
from pathlib import PurePosixPath

os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.end_to_end import project


def pytest_configure():
    """Hear Ctrl-C: what a shell starts in the background ignores it, and so would every command that a test starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    return project.generate(tmp_path_factory.mktemp("tiny") / "data")


ONE_SERVER = ("flows", "label_studio")
"""Folders whose tests share a server."""


class ByFile(LoadScopeScheduling):
    """Keeps the tests of a file, or of a folder that shares a server, in one of the processes side by side."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        return str(file.parent if file.parent.name in ONE_SERVER else file)


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)
