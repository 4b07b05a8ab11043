"""What people should hear of reaches a local receiver, by the automations that `crosscheck deploy --notify` sets up."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect.events.worker import EventsWorker

from flows.notices import DRY, LOW, WITHDRAWN, Notice, emit, of_cycle, of_disk
from pipeline.artefacts import ClassStanding, SelectionRun, Standings
from pipeline.cycle import open_cycle
from pipeline.settings import load_settings
from tests.end_to_end.project import write_config
from tests.flows.conftest import PROJECT

CROSSCHECK = Path(sys.executable).with_name("crosscheck")


@pytest.fixture
def settings(tiny_data, tmp_path):
    return load_settings(write_config(tmp_path, tiny_data))


def test_a_cycle_tells_of_withdrawn_certificates_and_of_a_queue_that_is_dry(settings):
    cycle = open_cycle(settings, datetime.now(UTC))
    assert list(of_cycle(cycle)) == []
    cycle.write(SelectionRun(version=1, queued=3))
    fallen = {"red": ClassStanding(withdrawn_in=0, needed="20 audited boxes"), "blue": ClassStanding()}
    cycle.write(Standings(fallen))
    (notice,) = of_cycle(cycle)
    assert notice == Notice(WITHDRAWN, "the certificate of red was withdrawn in cycle 0: 20 audited boxes")
    cycle.write(Standings({}))
    cycle.write(SelectionRun(version=1, queued=0))
    assert [each.event for each in of_cycle(cycle)] == [DRY]


def test_a_disk_that_fills_up_is_told(settings):
    assert list(of_disk(settings, low=0)) == []
    (notice,) = of_disk(settings, low=2**62)
    assert notice.event == LOW
    assert settings.workspace in notice.text


@pytest.fixture(scope="module")
def posted(prefect):
    """Texts that a local service was sent, since the automations were set up."""
    texts = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            texts.append(json.loads(body)["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a-secret-path"
        for _ in range(2):  # again without harm
            done = subprocess.run(
                [CROSSCHECK, "deploy", "--notify", url, "--json"], cwd=PROJECT, env=prefect.environment,
                capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert sum("crosscheck tells of" in name for name in json.loads(done.stdout)["automations"]) == 3
            assert "a-secret-path" not in done.stdout + done.stderr
        yield texts
        server.shutdown()


def wait_for(condition):
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1)


def test_events_of_a_project_reach_people(prefect, posted, settings):
    notices = [Notice(event, f'{event} "quoted" <b>') for event in (WITHDRAWN, DRY, LOW)]
    expected = {f"tiny: {notice.text}" for notice in notices}

    def told():
        # Again and again: an event before the server has loaded new automations has no listener.
        emit(settings, iter(notices))
        EventsWorker.instance().wait_until_empty()
        return expected <= set(posted)

    wait_for(told)


def test_a_failed_run_reaches_people(prefect, posted):
    deployment = prefect.get("/deployments/name/cycle/nightly")["id"]
    run = prefect.find(f"/deployments/{deployment}/create_flow_run", state={"type": "PENDING"})
    failed = {"type": "FAILED", "name": "Failed", "message": 'disk "full"'}
    prefect.find(f"/flow_runs/{run['id']}/set_state", state=failed, force=True)
    wait_for(lambda: any(run["name"] in text for text in posted))
    assert f'crosscheck: run {run["name"]} is Failed. disk "full"' in posted
