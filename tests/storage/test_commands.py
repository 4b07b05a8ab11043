"""Commands of a project that lies on S3, and what they say where the store cannot be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from s3fs import S3FileSystem

from pipeline.errors import SettingsError
from pipeline.folder import Folder
from pipeline.object_storage import OBJECT_STORES
from tests.cli.conftest import crosscheck
from tests.end_to_end.project import write_config
from tests.s3_server import s3_server

__all__ = ["crosscheck"]
DOCTOR = ("doctor", "--json")


@pytest.fixture(autouse=True)
def as_in_a_new_process():
    """Connections to a store, and the credentials that they were made with, outlast a command in this process."""
    S3FileSystem.clear_instance_cache()
    yield
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def without(monkeypatch):
    """Makes it as if libraries were not installed."""

    def hide(*names):
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)
        for protocol in OBJECT_STORES:
            monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, protocol, raising=False)

    return hide


@pytest.fixture
def config(tiny_data, root, tmp_path):
    return write_config(tmp_path, tiny_data, workspace=root)


def findings(done):
    return {finding["subject"]: finding for finding in json.loads(done.stdout)}


def the_one_fault(done):
    wrong = [finding for finding in json.loads(done.stdout) if finding["state"] == "error"]
    assert done.exit_code == 1
    assert [finding["subject"] for finding in wrong] == ["workspace"]
    assert "\n" not in wrong[0]["found"]
    return wrong[0]["found"]


def test_doctor_reaches_the_bucket_and_may_write(crosscheck, config, root, s3, bucket):
    found = findings(crosscheck(*DOCTOR, config=config))
    assert found["workspace"] == {
        "subject": "workspace",
        "state": "ok",
        "found": f"{root} may be written",
        "remedy": "",
    }
    assert found["disk"]["found"] == "remote"
    assert found["dataset"]["found"] == "no sample table"
    assert "conditional writes" not in found
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket), "nothing stays"


def test_doctor_says_that_there_is_no_bucket(crosscheck, config):
    done = crosscheck(*DOCTOR, "--set", "workspace=s3://there-is-none/x", config=config)
    assert "Make the bucket, or correct its name in the settings" in the_one_fault(done)


def test_doctor_says_that_there_are_no_credentials(crosscheck, config, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "Set the credentials in the environment, for S3 AWS_ACCESS_KEY_ID" in the_one_fault(
        crosscheck(*DOCTOR, config=config)
    )


def test_doctor_says_that_credentials_are_refused(crosscheck, config, monkeypatch):
    with s3_server(INITIAL_NO_AUTH_ACTION_COUNT="1") as strict:
        monkeypatch.setenv("AWS_ENDPOINT_URL", strict)
        boto3.client("s3").create_bucket(Bucket="guarded")
        done = crosscheck(*DOCTOR, "--set", "workspace=s3://guarded/x", config=config)
    assert "Correct the credentials, or let them list, read, write and delete there" in the_one_fault(done)


def test_doctor_says_that_nothing_answers(crosscheck, config, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "Check the network and the endpoint, for S3 AWS_ENDPOINT_URL" in the_one_fault(
        crosscheck(*DOCTOR, config=config)
    )


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [("s3://bucket/x", r"pip install 'crosscheck\[s3\]'"), ("gs://bucket/x", r"pip install 'crosscheck\[gcs\]'"),
     ("abfs://container/x", r"pip install 'crosscheck\[azure\]'")],
)  # fmt: skip
def test_a_library_that_is_not_installed_is_named(uri, remedy, without):
    without("s3fs", "gcsfs", "adlfs")
    with pytest.raises(SettingsError, match=rf"{uri}: what reads it is not installed .*Run `{remedy}`"):
        Folder(uri)


def test_doctor_says_that_a_library_is_not_installed(crosscheck, config, without):
    without("s3fs")
    assert "pip install 'crosscheck[s3]'" in the_one_fault(crosscheck(*DOCTOR, config=config))


def test_doctor_says_that_a_store_lets_two_create_one_object(crosscheck, config, monkeypatch):
    whatever = S3FileSystem._pipe_file

    async def careless(self, path, data, mode="overwrite", **options):
        return await whatever(self, path, data, **options)

    monkeypatch.setattr(S3FileSystem, "_pipe_file", careless)
    done = crosscheck(*DOCTOR, config=config)
    assert done.exit_code == 1
    assert "lets two create the same object" in findings(done)["conditional writes"]["found"]


@pytest.mark.parametrize("command", ["import", "status", "cycle"])
def test_other_commands_end_with_one_line_as_well(crosscheck, config, command):
    done = crosscheck(command, "--set", "workspace=s3://there-is-none/x", config=config)
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    assert "Make the bucket" in line


def test_a_profile_serves_the_workspace_and_its_table_alike(root, tmp_path, monkeypatch):
    """By itself the library of the table knows no profiles."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text("[work]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"HOME": str(tmp_path), "AWS_PROFILE": "work", "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
    code = (
        "from pipeline.dataset.store import SampleStore; from tests.builders import sample\n"
        f"store = SampleStore({root!r} + '/samples'); print(store.commit([sample('a')], reason='r', key='k'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
