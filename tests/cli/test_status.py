"""`crosscheck status`: where a project stands, from its files alone."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from pipeline.cycle import only_one, open_cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import State
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import write_config


@pytest.fixture
def fresh(tiny_data, tmp_path):
    """Settings of a project that has done nothing yet."""
    return write_config(tmp_path, tiny_data)


def told(crosscheck, config):
    done = crosscheck("status", config=config)
    assert done.exit_code == 0, done.output
    return dict(line.split(":", 1) for line in done.stdout.splitlines())


def labeled(config):
    """How many images people have labelled, whatever other tests have harvested."""
    store = SampleStore(Workspace(load_settings(config).workspace).samples_uri)
    return len(store.samples(states=[State.LABELED]))


def test_a_project_after_its_first_cycle_in_ten_lines(crosscheck, project):
    found = told(crosscheck, project)
    assert list(found) == [
        "project", "images", "version", "model", "cycle", "edited", "certified", "withdrawn", "disk", "next",
    ]  # fmt: skip
    assert f"{labeled(project)} labeled" in found["images"]
    assert "mAP 0." in found["model"]
    assert found["cycle"].strip().startswith("0, finished")
    assert "`crosscheck cycle` runs cycle 1" in found["next"]


def test_before_anything_has_run(crosscheck, fresh):
    found = told(crosscheck, fresh)
    assert {found[name].strip() for name in ("images", "version", "model", "cycle")} == {"none"}
    assert "`crosscheck import`" in found["next"]


def test_a_cycle_that_stopped_on_its_way_and_settings_that_were_edited(crosscheck, fresh):
    assert crosscheck("import", config=fresh).exit_code == 0
    open_cycle(load_settings(fresh), datetime.now(UTC))
    assert "goes on with cycle 0: import" in told(crosscheck, fresh)["next"]
    fresh.write_text(fresh.read_text().replace("seed: 5", "seed: 6"))
    assert told(crosscheck, fresh)["edited"].strip() == "seed (from the next cycle)"


def test_a_run_under_way_is_said(crosscheck, fresh):
    with only_one(load_settings(fresh)):
        assert "a run is under way" in told(crosscheck, fresh)["next"]


def test_programs_read_the_same(printed, project):
    found = printed("status")
    assert found["images"]["labeled"] == labeled(project)
    assert found["cycle"]["finished_at"] is not None
    assert found["coming"].startswith("`crosscheck cycle`")


LIGHT = """
import sys
from typer.testing import CliRunner
from pipeline.cli.app import app
assert CliRunner().invoke(app, ["status", "--config", sys.argv[1]]).exit_code == 0
print(sorted({"torch", "prefect", "label_studio_sdk", "scipy"} & set(sys.modules)))
"""


def test_nothing_heavy_is_loaded_for_it(project):
    done = subprocess.run([sys.executable, "-c", LIGHT, str(project)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_damaged_project_is_one_line(crosscheck, fresh):
    assert crosscheck("import", config=fresh).exit_code == 0
    cycle = open_cycle(load_settings(fresh), datetime.now(UTC))
    cycle.folder.write_bytes("cycle.json", json.dumps({"cycle": 0}).encode())
    done = crosscheck("status", config=fresh)
    assert done.exit_code == 1
    assert "cycle.json: expected" in done.stderr
    assert len(done.stderr.splitlines()) == 1
