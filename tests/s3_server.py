"""A local S3 service for the tests that ask for one.

It answers one request after another: moto looks whether an object is there and writes it in two steps, between which a
real store lets nobody else in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import stamina
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

from scripts.label_studio import free_port


@contextmanager
def s3_server(host: str = "127.0.0.1", **environment: str) -> Iterator[str]:
    """Start the service in a process of its own, with more in its environment; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.s3_server", host, str(port)]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://{host}:{port}"
    try:
        for attempt in stamina.retry_context(on=httpx.TransportError, attempts=100, wait_max=0.5, timeout=60):
            with attempt:
                httpx.get(f"{url}/moto-api/")
        yield url
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    run_simple(sys.argv[1], int(sys.argv[2]), DomainDispatcherApplication(create_backend_app), threaded=False)
