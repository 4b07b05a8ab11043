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

from pipeline.errors import RemoteError
from pipeline.settings import dump_settings
from pipeline.stages.harvest import harvest_now
from tests.builders import box
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
                    harvest_now(project.settings, desk.backend(url=proxy.url, token=token), None)
                seen.append(whole(caught.value))
                with pytest.raises(RemoteError) as caught:
                    desk.backend(url=proxy.url, token=token).push([desk.task("new", box(score=0.5))])
                seen.append(whole(caught.value))
        assert any("[token]" in text for text in seen), "some errors did send the token back"
        assert harvest_now(project.settings, project.backend(), None)["answered"] == 1

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
