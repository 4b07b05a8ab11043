"""Whole cycles with workspace and images on S3: what they make is what a local workspace holds."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import fsspec
import pytest

from pipeline.dataset.store import SampleStore
from pipeline.detector.training.checkpoint import CHECKPOINT
from pipeline.labeling.annotators import labeling_backend
from pipeline.loop import Surroundings, run_cycle
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.cli.conftest import crosscheck
from tests.end_to_end.project import run_cycles, run_in_child, selected, versions, write_config
from tests.storage.conftest import new_bucket

__all__ = ["crosscheck"]
SHORT = {"training": {"steps": 12}}
FIRST, BOTH = 1, 2


@pytest.fixture(scope="module")
def there(tiny_data, s3):
    """A bucket that holds the tiny set."""
    bucket = new_bucket(s3)
    for file in sorted(path for path in tiny_data.rglob("*") if path.is_file()):
        s3.upload_file(str(file), bucket, f"data/{file.relative_to(tiny_data)}")
    return f"s3://{bucket}"


def write_remote(folder: Path, tiny_data: Path, there: str, name: str, **sections) -> Path:
    """Settings with every place in the bucket."""
    path = write_config(folder, tiny_data, workspace=f"{there}/projects/{name}", **SHORT, **sections)
    path.write_text(path.read_text().replace(str(tiny_data), f"{there}/data"))
    return path


@pytest.fixture(scope="module")
def config(tiny_data, there, tmp_path_factory):
    path = write_remote(tmp_path_factory.mktemp("remote"), tiny_data, there, "tiny")
    run_cycles(path, BOTH)
    return path


@pytest.fixture(scope="module")
def local_config(tiny_data, tmp_path_factory):
    return write_config(tmp_path_factory.mktemp("local"), tiny_data, **SHORT)


@pytest.fixture(scope="module")
def moved(local_config, tiny_data, there, tmp_path_factory):
    """Settings of a copy in the bucket that was made between the two cycles of the local project."""
    settings = run_cycles(local_config, FIRST)
    path = write_config(tmp_path_factory.mktemp("moved"), tiny_data, workspace=f"{there}/projects/moved", **SHORT)
    files, place = fsspec.url_to_fs(f"{there}/projects/moved")
    files.put(f"{settings.workspace}/", place, recursive=True)
    return path


@pytest.fixture(scope="module")
def local(local_config, moved):
    return run_cycles(local_config, BOTH)


def champion(settings) -> bytes:
    return Workspace(settings.workspace).models.read_bytes("champion.json")


def as_in_bucket(known, tiny_data: Path, there: str):
    """What is known of images, with their addresses in the bucket."""
    return json.loads(json.dumps(known).replace(str(tiny_data), f"{there}/data"))


def test_versions_selection_and_champion_are_those_of_a_local_workspace(config, local, tiny_data, there):
    remote = load_settings(config)
    assert str(tiny_data.parent) not in config.read_text()
    assert as_in_bucket(versions(local), tiny_data, there) == as_in_bucket(versions(remote), tiny_data, there)
    for cycle in range(BOTH):
        assert selected(local, cycle) == selected(remote, cycle)
    assert champion(local) == champion(remote)


def test_a_workspace_that_was_copied_goes_on_where_it_was(local, moved, tmp_path):
    before = versions(load_settings(moved))
    settings = run_cycles(moved, BOTH)
    assert versions(settings)[: len(before)] == before
    assert versions(settings) == versions(local)
    assert selected(settings, 1) == selected(local, 1)
    assert champion(settings) == champion(local)
    files, place = fsspec.url_to_fs(settings.workspace)
    files.get(f"{place}/", str(tmp_path / "back"), recursive=True)
    store = SampleStore(Workspace(tmp_path / "back").samples_uri)
    assert [one.reason for one in store.history()] == [reason for reason, _ in versions(local)]


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "doctor --deep",
        "versions list",
        "versions show 1",
        "versions diff 0 champion --html {bucket}/pages/diff.html",
        "versions tag 1 good",
        "versions blame {bucket}/data/pool/01.png",
        "versions verify",
        "versions vacuum",
        "versions export latest --format yolo --copy --to {folder}",
        "versions export good --format coco --to {bucket}/exported",
        "review list",
        "models list",
        "models export --format onnx --out {bucket}/models",
        "models detect {bucket}/data/pool/01.png",
        "evaluate",
        "report",
        "harvest",
        "versions restore 1",
        "relocate {bucket}/data/val {bucket}/data/val",
    ],
)
def test_every_command_serves_a_workspace_in_a_bucket(crosscheck, config, there, tmp_path, command):
    done = crosscheck(*command.format(folder=tmp_path, bucket=there).split(), config=config)
    assert done.exit_code == 0, done.output


def test_what_is_written_to_a_bucket_lies_there(config, there):
    assert Workspace(f"{there}/exported").names() == ["test.json", "train.json", "val.json"]
    assert Workspace(f"{there}/pages").names() == ["diff.html"]
    (model,) = Workspace(f"{there}/models").names()
    assert Workspace(f"{there}/models/{model}").exists("onnx.onnx")


def test_pages_lie_in_the_bucket(config):
    reports = Workspace(load_settings(config).workspace).reports
    written = [name for name in reports.names() if name.endswith(".html")]
    assert written == ["cycle-0000.html", "cycle-0001.html", "index.html", "lead.html"]
    assert reports.folder("versions").names()[0] == "0000.html"


@pytest.mark.slow
def test_several_processes_share_the_work(local, tiny_data, there, tmp_path):
    runner = {"kind": "processes", "workers": 2}
    settings = run_cycles(write_remote(tmp_path, tiny_data, there, "shared", runner=runner), FIRST)
    assert selected(settings, 0) == selected(local, 0)


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with_when_its_lock_has_run_out(local, tiny_data, there, tmp_path):
    config = write_remote(tmp_path, tiny_data, there, "killed")
    settings = load_settings(config)
    run = multiprocessing.get_context("spawn").Process(target=run_in_child, args=(str(config), FIRST))
    run.start()
    while not Workspace(settings.workspace).cycle(0).exists(CHECKPOINT):
        time.sleep(0.2)
    os.kill(run.pid, signal.SIGKILL)
    run.join()
    around = Surroundings(lambda project: labeling_backend(project, None))
    run_cycle(settings, around, wait_s=400.0)
    assert selected(settings, 0) == selected(local, 0)
    undisturbed = as_in_bucket(versions(local)[:2], tiny_data, there)
    assert as_in_bucket(versions(settings), tiny_data, there) == undisturbed
