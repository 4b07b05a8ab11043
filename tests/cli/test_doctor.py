"""`crosscheck doctor`: what is wrong is named with what to do about it; `--deep` reads every file."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import yaml
from deltalake import DeltaTable

from pipeline.inspection import inspect_cycles
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import write_config


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    """No server is named."""
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)


@pytest.fixture
def copied(project, tmp_path):
    """A copy of the project and its images after its first cycle."""
    values = yaml.safe_load(project.read_text())
    shutil.copytree(values["workspace"], tmp_path / "workspace")
    config = tmp_path / "settings.yaml"
    config.write_text(yaml.safe_dump({**values, "workspace": str(tmp_path / "workspace")}))
    return config


def examined(crosscheck, config, *options):
    done = crosscheck("doctor", "--json", *options, config=config)
    found = json.loads(done.stdout)
    assert done.exit_code == any(finding["state"] == "error" for finding in found)
    return found


def wrong(found):
    return {finding["subject"]: finding for finding in found if finding["state"] == "error"}


def test_a_healthy_project_has_nothing_wrong(crosscheck, project):
    found = examined(crosscheck, project, "--deep")
    assert wrong(found) == {}
    subjects = {finding["subject"] for finding in found}
    assert subjects >= {
        "python", "packages", "torch", "device", "disk", "workspace", "dataset", "prefect", "clock", "table", "cycles",
        "models", "images",
    }  # fmt: skip
    done = crosscheck("doctor", config=project)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "Nothing is wrong."


def test_everything_that_a_person_has_to_do_is_said(crosscheck, tiny_data, tmp_path):
    studio = {"url": "http://127.0.0.1:9", "document_root": str(tiny_data)}
    config = write_config(
        tmp_path,
        tiny_data,
        labeling={"backend": "label_studio", "label_studio": studio},
        data={"sources": [{"split": "pool", "format": "images", "images": str(tmp_path / "gone")}]},
    )
    found = examined(crosscheck, config)
    assert wrong(found).keys() == {"label studio", "token", "sources"}
    assert all(finding["remedy"] for finding in wrong(found).values())
    assert [each["remedy"] for each in found if each["subject"] == "dataset"] == ["Run `crosscheck import`."]
    text = crosscheck("doctor", config=config)
    assert text.exit_code == 1
    assert text.stdout.splitlines()[-1].startswith("3 of ")
    assert "WRONG token: none for Label Studio. Set LABEL_STUDIO_API_KEY" in text.stdout


def test_a_clock_that_went_back_is_noticed(crosscheck, copied, monkeypatch):
    history = DeltaTable.history
    ahead = int((time.time() + 86_400) * 1000)
    monkeypatch.setattr(DeltaTable, "history", lambda table: [{**each, "timestamp": ahead} for each in history(table)])
    found = examined(crosscheck, copied)
    assert wrong(found).keys() == {"clock"}
    assert "before the newest version" in wrong(found)["clock"]["found"]


def test_a_workspace_that_may_not_be_written_is_named(crosscheck, copied):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    folder = Path(load_settings(copied).workspace)
    folder.chmod(0o500)
    try:
        found = wrong(examined(crosscheck, copied))
    finally:
        folder.chmod(0o700)
    assert "permission is denied" in found["workspace"]["found"]


def artefacts(config):
    workspace = Workspace(load_settings(config).workspace)
    files = sorted(Path(workspace.cycle(0).uri).glob("*.*"))
    return [file for file in files if file.suffix in {".json", ".parquet", ".yaml"}]


def test_a_truncated_artefact_of_each_kind_is_named(crosscheck, copied):
    files = artefacts(copied)
    assert {"cycle.json", "settings.yaml", "selection.parquet", "decision.json"} <= {file.name for file in files}
    workspace = Workspace(load_settings(copied).workspace)
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        found = [fault.problem for fault in inspect_cycles(workspace)]
        assert found
        assert all(str(file) in problem for problem in found)
        file.write_bytes(whole)
    files[-1].write_bytes(b"")
    assert str(files[-1]) in wrong(examined(crosscheck, copied, "--deep"))["cycles"]["found"]


def test_damaged_weights_and_a_lost_champion_are_named(crosscheck, copied):
    models = Path(load_settings(copied).workspace) / "models"
    weights = next(models.glob("*/weights.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert str(weights) in wrong(examined(crosscheck, copied, "--deep"))["models"]["found"]
    content[-1] ^= 1
    weights.write_bytes(content)
    (models / "champion.json").unlink()
    done = crosscheck("doctor", "--deep", "--json", config=copied)
    assert done.exit_code == 1
    assert "crosscheck models promote" in done.stdout


def test_a_changed_byte_of_the_table_and_a_changed_image_are_named(crosscheck, tiny_data, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(tiny_data, images)
    config = write_config(tmp_path, images)
    assert crosscheck("import", config=config).exit_code == 0
    picture = images / "val" / "01.png"
    picture.write_bytes((images / "val" / "02.png").read_bytes())
    assert str(picture) in wrong(examined(crosscheck, config, "--deep"))["images"]["found"]
    rows = next((Path(load_settings(config).workspace) / "samples").glob("*.parquet"))
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.write_bytes(content)
    assert str(rows) in wrong(examined(crosscheck, config, "--deep"))["table"]["found"]
