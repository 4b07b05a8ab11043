"""Nothing that anybody can read holds the token, whatever goes well or wrong, with every log turned up."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import stamina
from pydantic import SecretStr

from pipeline.artefacts import PushRun
from pipeline.cycle import load_cycle
from pipeline.errors import RemoteError
from pipeline.labeling.annotators import labeling_backend
from pipeline.labeling.feedback.intake import Intake
from pipeline.loop import Surroundings, run_cycle
from pipeline.settings import dump_settings, load_settings
from pipeline.stages.harvest import harvest_now
from tests.builders import box
from tests.end_to_end.project import run_cycles
from tests.labeling.label_studio.proxy import Fault, proxied
from tests.labeling.label_studio.test_outcomes import Project
from tests.labeling.label_studio.test_server import shown

pytestmark = pytest.mark.label_studio

CROSSCHECK = Path(sys.executable).with_name("crosscheck")
LEGACY = "0123456789abcdef0123456789abcdef01234567"
TRADED = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


def whole(fault: BaseException) -> str:
    """A stack trace with the local variables of every frame but the tests' own."""
    told = traceback.TracebackException.from_exception(fault, capture_locals=True)
    frames = [frame for frame in told.stack if f"{os.sep}tests{os.sep}" not in frame.filename]
    assert frames
    return "".join(told.format_exception_only()) + repr([(frame.line, frame.locals) for frame in frames])


def test_nothing_that_anybody_can_read_holds_the_token(desk, people, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    project = Project(desk, tmp_path)
    project.push("one", "two")
    entry = project.tasks(people[0])["one"]
    people[0].submit(entry["id"], shown(entry))
    seen = []
    with proxied(desk.server.url) as proxy, stamina.set_testing(True, attempts=2):
        for token in (desk.server.api_key, LEGACY):
            for do, where in [
                (401, "."),
                (403, "/api/projects"),
                (429, "."),
                (500, "/api/tasks"),
                (502, "."),
                ("cut", "."),
            ]:
                proxy.faults = [Fault(do, where, 99)]
                with pytest.raises(RemoteError) as caught:
                    harvest_now(Intake(project.settings, desk.backend(url=proxy.url, token=token)))
                seen.append(whole(caught.value))
                with pytest.raises(RemoteError) as caught:
                    desk.backend(url=proxy.url, token=token).push([desk.task("new", box(score=0.5))])
                seen.append(whole(caught.value))
        assert any("[token]" in text for text in seen), "some errors did send the token back"
        assert harvest_now(Intake(project.settings, project.backend())).answered == 1

        file = tmp_path / "settings.yaml"
        file.write_text(dump_settings(project.settings))
        environment = os.environ | {"PREFECT_LOGGING_LEVEL": "DEBUG", "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG"}
        broken = f"labeling.label_studio.url={proxy.url}"
        proxy.faults = [Fault(401, ".", 99)]
        for token, command in (
            (desk.server.api_key, ["harvest", "--full"]),
            (desk.server.api_key, ["harvest", "--json", "--set", broken]),
            (LEGACY, ["harvest", "--set", broken]),
        ):
            done = subprocess.run(
                [CROSSCHECK, command[0], "--config", file, *command[1:]],
                env=environment | {"LABEL_STUDIO_API_KEY": token}, capture_output=True, text=True, timeout=200,
            )  # fmt: skip
            seen.append(done.stdout + done.stderr)
            assert done.returncode == (1 if broken in command else 0)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "answers.json" for path in files)
    everything = [*seen, caplog.text, *capfd.readouterr(), *(path.read_bytes().decode("latin-1") for path in files)]
    assert "HTTP" in caplog.text, "the logs of the network are turned up"
    for text in everything:
        assert desk.server.api_key not in text
        assert LEGACY not in text
        assert not TRADED.search(text)


@pytest.fixture
def legacy_token(server, people):
    """The owner's legacy token, while the organisation allows such tokens."""
    owner, _ = people
    before = owner.session.get("/api/jwt/settings").raise_for_status().json()
    allowed = {**before, "legacy_api_tokens_enabled": True}
    owner.session.post("/api/jwt/settings", json=allowed).raise_for_status()
    yield owner.session.get("/api/current-user/token").raise_for_status().json()["token"]
    owner.session.post("/api/jwt/settings", json=before).raise_for_status()


def test_a_legacy_token_pushes_and_harvests_where_the_organisation_allows_it(desk, people, legacy_token, caplog):
    caplog.set_level(logging.DEBUG)
    owner, _ = people
    assert "." not in legacy_token, "it is no personal access token"
    backend = desk.backend(token=legacy_token)
    tasks = [desk.task("one", box(score=0.5)), desk.task("two", box(score=0.5), model_id="m1")]
    assert len(backend.push(tasks).created) == 2
    entry = desk.tasks(owner)[tasks[0].image_id]
    owner.submit(entry["id"], shown(entry))
    (answer,) = backend.harvest().answers
    assert (answer.image_id, [str(b.source) for b in answer.boxes]) == (tasks[0].image_id, ["accepted"])
    elsewhere = desk.task("two", box(1, 1, 9, 9, score=0.5), model_id="m2")
    assert backend.push([elsewhere]).updated == (tasks[1].image_id,)
    assert legacy_token not in caplog.text


def test_a_legacy_token_that_the_organisation_does_not_allow_is_refused_in_words(desk, people):
    token = people[0].session.get("/api/current-user/token").raise_for_status().json()["token"]
    with pytest.raises(RemoteError, match=r"refuses the token \(401\)") as caught:
        desk.backend(token=token).push([desk.task("one")])
    assert token not in whole(caught.value)


def test_whole_cycles_leave_no_token_anywhere(desk, people, config, caplog, capfd, tmp_path):
    """One that pushes, and one whose harvest and push are refused; then every file and every log is searched."""
    caplog.set_level(logging.DEBUG)
    token = SecretStr(desk.server.api_key)
    settings = run_cycles(config, 1, token)
    for entry in desk.tasks(people[0]).values():
        people[0].submit(entry["id"])
    seen = []

    def noting(step, _cycle, run):
        try:
            return run()
        except RemoteError as fault:
            seen.append(whole(fault))
            raise

    with proxied(desk.server.url) as proxy, stamina.set_testing(True, attempts=2):
        proxy.faults = [Fault(401, "/api/projects", 99)]
        broken = labeling_backend(load_settings(config, [f"labeling.label_studio.url={proxy.url}"]), token)
        run_cycle(settings, Surroundings(lambda _settings: broken), noting)
    assert len(seen) == 2
    assert all("refuses the token (401)" in text for text in seen)
    assert "refuses the token (401)" in load_cycle(settings.workspace, 1).read(PushRun).failed
    assert harvest_now(Intake(settings, labeling_backend(settings, token))).answered == 4
    files = {path: path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()}
    pages = {path.name: text for path, text in files.items() if path.suffix == ".html"}
    assert {"cycle-0000.html", "cycle-0001.html", "index.html", "lead.html"} < set(pages)
    assert "refuses the token (401)" in pages["cycle-0001.html"]
    assert {"push.json", "harvest.json", "answers.json", "queue.parquet"} <= {path.name for path in files}
    assert "HTTP" in caplog.text, "the logs of the network are turned up"
    for text in (*seen, caplog.text, *capfd.readouterr(), *files.values()):
        assert desk.server.api_key not in text
        assert not TRADED.search(text)
