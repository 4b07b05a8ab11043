"""A Prefect server of the tests' own, never the one that a developer uses.

Commands reach it by their environment, and flows that a test calls by the settings of this process.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

PREFECT = Path(sys.executable).with_name("prefect")
PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Prefect:
    """A server and the environment in which commands talk to it; `worker` is the process of one, where it runs."""

    url: str
    environment: dict[str, str]
    logs: Path
    worker: int = 0

    def run(self, *arguments: str, folder: Path = PROJECT, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a `prefect` command to its end, with nobody at the keyboard."""
        return subprocess.run(
            [PREFECT, *arguments], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, timeout=timeout,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    @contextmanager
    def background(self, name: str, *arguments: str, folder: Path = PROJECT) -> Iterator[subprocess.Popen[bytes]]:
        """Run a `prefect` command until the block ends."""
        with (self.logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [PREFECT, *arguments], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server until the block ends."""
        port = self.url.split(":")[2].removesuffix("/api")
        with self.background("server", "server", "start", "--host", "127.0.0.1", "--port", port) as process:
            deadline = time.monotonic() + 120
            while not _answers(self.url):
                log = (self.logs / "server.log").read_text()
                assert process.poll() is None, f"the Prefect server ended: {log}"
                assert time.monotonic() < deadline, f"the Prefect server does not answer: {log}"
                time.sleep(0.3)
            yield process

    def get(self, path: str) -> dict:
        """Ask the server's API."""
        return self._ask("GET", path)

    def find(self, path: str, **query: object) -> list[dict]:
        """Filter over the server's API."""
        return self.post(path, query)

    def post(self, path: str, body: object) -> list[dict]:
        """Make something by the server's API."""
        return self._ask("POST", path, json=body)

    def delete(self, path: str) -> None:
        """Remove something by the server's API."""
        self._ask("DELETE", path)

    def _ask(self, method: str, path: str, **options: object):
        """Ask again while the server's database is locked, which it says by 503."""
        deadline = time.monotonic() + 120
        while True:
            answer = httpx.request(method, f"{self.url}{path}", timeout=60, **options)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer.raise_for_status().json() if answer.content else None
            time.sleep(0.5)


def server_in(home: Path) -> Prefect:
    """A server that is still to be started, on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return Prefect(url, environment, home)


@pytest.fixture(scope="package")
def prefect(tmp_path_factory) -> Iterator[Prefect]:
    server = server_in(tmp_path_factory.mktemp("prefect"))
    with server.serving(), temporary_settings({PREFECT_API_URL: server.url}):
        yield server
        # What flows in this process have logged goes out before the server stops.
        APILogWorker.instance().drain()
        EventsWorker.drain_all()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False
