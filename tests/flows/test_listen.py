"""`crosscheck listen`: a real webhook of a real Label Studio has a real Prefect server start the harvest."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from flows.listen import HEADER, PATH, receiver
from scripts.label_studio import free_port, logged_in, running

CROSSCHECK = Path(sys.executable).with_name("crosscheck")
EXECUTABLE = Path(__file__).parents[2] / ".venv-label-studio/bin/label-studio"
SECRET = "a-shared-secret-of-the-test-0123456789"
PAGE = '<View><Image name="image" value="$image"/><Choices name="c" toName="image"><Choice value="x"/></Choices></View>'


def exchange(requests, quiet_s=0.0):
    """Send requests to the service and give back the statuses and how often Prefect was told."""
    told = []

    async def talk():
        app = receiver(SecretStr(SECRET), quiet_s, lambda: told.append(1))
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://listen") as client:
                statuses = [
                    (await client.request(*request, headers=headers)).status_code for request, headers in requests
                ]
            for _ in range(200):
                await asyncio.sleep(0.005)
                if told:
                    break
        return statuses

    return asyncio.run(talk()), len(told)


HOOK = ("POST", PATH)


@pytest.mark.parametrize(
    ("requests", "statuses", "told"),
    [
        ([], [], 0),
        ([(("GET", "/health"), {})], [200], 0),
        ([(HOOK, {})], [401], 0),
        ([(HOOK, {HEADER: ""})], [401], 0),
        ([(HOOK, {HEADER: SECRET[:-1]})], [401], 0),
        ([(HOOK, {HEADER: SECRET.upper()})], [401], 0),
        ([(("GET", PATH), {HEADER: SECRET})], [405], 0),
        ([(HOOK, {HEADER: SECRET})], [202], 1),
        ([(HOOK, {HEADER: SECRET})] * 50 + [(HOOK, {})], [202] * 50 + [401], 1),
    ],
)
def test_only_who_knows_the_secret_is_heard_and_many_hints_are_one(requests, statuses, told):
    assert exchange(requests, quiet_s=0.05) == (statuses, told)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "Expected a secret of at least 16 characters in LABEL_STUDIO_WEBHOOK_SECRET, found none"),
        ({"LABEL_STUDIO_WEBHOOK_SECRET": "too-short"}, "found a shorter one"),
    ],
)
def test_it_does_not_start_without_a_secret(prefect, environment, message):
    done = subprocess.run(
        [CROSSCHECK, "listen"], env=prefect.environment | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "too-short" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.label_studio
def test_an_answer_in_label_studio_starts_the_harvest(prefect, tmp_path, monkeypatch):
    if not EXECUTABLE.is_file():
        pytest.skip("no Label Studio server here: run `make label-studio-install`")
    for command in (
        ("work-pool", "create", "local", "--type", "process", "--overwrite"),
        ("--no-prompt", "deploy", "--name", "harvest/hourly"),
    ):
        made = prefect.run(*command)
        assert made.returncode == 0, made.stdout + made.stderr
    # A process of this machine is allowed to be told; the server refuses local addresses otherwise.
    monkeypatch.setenv("SSRF_PROTECTION_ENABLED", "false")
    port = free_port()
    environment = prefect.environment | {"LABEL_STUDIO_WEBHOOK_SECRET": SECRET}
    command = [CROSSCHECK, "listen", "--port", str(port), "--quiet-s", "5"]  # longer than between two answers
    log = tmp_path / "listen.log"
    with log.open("wb") as output, running(EXECUTABLE, tmp_path / "server", tmp_path, free_port()) as server:
        listener = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: "Uvicorn running" in log.read_text(), log)
            with logged_in(server.url, server.email, server.password) as person:
                project = person.post("/api/projects/", json={"title": "hooks", "label_config": PAGE}).json()["id"]
                hook = {
                    "project": project, "url": f"http://localhost:{port}{PATH}", "headers": {HEADER: SECRET},
                    "send_for_all_actions": False, "actions": ["ANNOTATION_CREATED", "ANNOTATION_UPDATED"],
                }  # fmt: skip
                person.post("/api/webhooks/", json=hook).raise_for_status()
                person.post(f"/api/projects/{project}/import", json=[{"image": "http://localhost/x.png"}])
                (task,) = person.get("/api/tasks/", params={"project": project}).json()["tasks"]
                for _ in range(3):
                    person.post(f"/api/tasks/{task['id']}/annotations/", json={"result": []}).raise_for_status()
            deployment = prefect.get("/deployments/name/harvest/hourly")["id"]
            runs = {"deployments": {"id": {"any_": [deployment]}}}

            def started():
                found = prefect.find("/flow_runs/filter", **runs)
                return [run for run in found if "auto-scheduled" not in run["tags"]]

            wait_for(started, log)
            assert f"POST {PATH}" in log.read_text(), "the server itself has knocked"
            (run,) = started()  # three answers, one harvest
            assert run["created_by"]["type"] == "AUTOMATION"
        finally:
            listener.terminate()
            listener.wait(20)
    assert SECRET not in log.read_text()


def wait_for(condition, log):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.3)
