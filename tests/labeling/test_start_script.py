"""Starting and stopping the server: the process is looked after, whatever happens, and the secrets are kept."""

import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.settings import load_settings
from scripts.label_studio import ServerError, free_port, running

SCRIPT = Path(__file__).parents[2] / "scripts/label_studio.py"

FAKE = f"""#!{sys.executable}
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply("csrftoken=c")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = self.path != "/api/token/refresh/" or os.path.exists(os.environ["LABEL_STUDIO_BASE_DATA_DIR"] + "/made")
        open(os.environ["LABEL_STUDIO_BASE_DATA_DIR"] + "/made", "w").close()
        self.reply("sessionid=s", 200 if known else 401)

    def reply(self, cookie, status=200):
        self.send_response(status)
        self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(json.dumps({{"token": "token-" + str(os.getpid())}}).encode())

print("serving with", os.environ["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"], flush=True)
HTTPServer(("localhost", int(sys.argv[-1])), Handler).serve_forever()
"""


def test_the_template_names_the_folder_that_is_served():
    checkout = Path(__file__).parents[2]
    settings = load_settings(checkout / "configs/production.yaml")
    assert Path(settings.labeling.label_studio.document_root).resolve() == checkout
    assert "LABEL_STUDIO_DOCUMENT_ROOT ?= $(CURDIR)\n" in (checkout / "Makefile").read_text()


@pytest.fixture
def fake(tmp_path):
    file = tmp_path / "label-studio"
    file.write_text(FAKE)
    file.chmod(0o755)
    return file


def wait_for(condition, seconds=120.0):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.05)


def start(fake, folder, port):
    command = [sys.executable, str(SCRIPT), "--executable", str(fake), "--folder", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [process.stdout.readline() for _ in range(7)]
    (child,) = psutil.Process(process.pid).children()
    return process, child, "".join(lines)


def test_secrets_are_made_once_and_are_the_owners_alone(fake, tmp_path):
    folder = tmp_path / "state"
    with running(fake, folder, tmp_path, free_port()) as first:
        pass
    with running(fake, folder, tmp_path, free_port()) as second:
        pass
    assert (first.password, first.api_key) == (second.password, second.api_key)
    assert len(first.password) >= 20
    assert first.password not in repr(first)
    assert first.api_key not in repr(first)
    for name in ("password", "api_key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert f"serving with {tmp_path}" in (folder / "server.log").read_text()


def test_a_token_that_no_longer_works_is_replaced(fake, tmp_path):
    with running(fake, tmp_path / "state", tmp_path, free_port()) as first:
        pass
    (tmp_path / "state/made").unlink()
    with running(fake, tmp_path / "state", tmp_path, free_port()) as second:
        pass
    assert first.api_key != second.api_key
    assert first.password == second.password


def test_ctrl_c_stops_the_server_and_no_secret_was_printed(fake, tmp_path):
    folder, port = tmp_path / "state", free_port()
    process, child, printed = start(fake, folder, port)
    assert f"http://localhost:{port}" in printed
    assert f"export LABEL_STUDIO_API_KEY=$(cat {folder / 'api_key'})" in printed
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert "stopped" in output
    assert not child.is_running()
    for secret in ("password", "api_key"):
        assert (folder / secret).read_text().strip() not in printed + output


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a child that its parent has died")
def test_a_killed_parent_leaves_no_server_behind(fake, tmp_path):
    process, child, _ = start(fake, tmp_path / "state", free_port())
    process.kill()
    process.communicate(timeout=120)
    wait_for(lambda: not child.is_running())


def test_the_server_stops_when_the_block_fails(fake, tmp_path):
    before, children = set(psutil.Process().children()), []

    def fail():
        with running(fake, tmp_path / "state", tmp_path, free_port()):
            children.extend(set(psutil.Process().children()) - before)
            raise RuntimeError("of the test")

    with pytest.raises(RuntimeError, match="of the test"):
        fail()
    assert [child.is_running() for child in children] == [False]


def test_a_server_that_ends_at_once_shows_its_log(fake, tmp_path):
    fake.write_text("#!/bin/sh\necho the database is broken\nexit 3\n")
    with (
        pytest.raises(ServerError, match=r"(?s)ended with 3 .*the database is broken"),
        running(fake, tmp_path / "state", tmp_path, free_port()),
    ):
        pass


def test_a_taken_port_and_a_missing_server_are_named(fake, tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServerError, match=f"Expected port {port} to be free.*LABEL_STUDIO_PORT"),
            running(fake, tmp_path / "state", tmp_path, port),
        ):
            pass
    with (
        pytest.raises(ServerError, match=r"found nothing\. Run `make label-studio-install`"),
        running(tmp_path / "missing", tmp_path / "state", tmp_path, free_port()),
    ):
        pass
