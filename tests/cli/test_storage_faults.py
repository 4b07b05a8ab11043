"""Storage that is full or may not be written: one line with the place and the next step, and no traceback."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.dataset.formats import read_entries
from pipeline.errors import ArtefactError, DataError, SettingsError
from pipeline.folder import Folder
from pipeline.settings import load_settings
from tests.end_to_end.project import write_config

CROSSCHECK = Path(sys.executable).with_name("crosscheck")
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
from pipeline.cli import main
sys.argv = ["crosscheck", *sys.argv[1:]]
main()
"""


@pytest.fixture
def mounted(tmp_path):
    """Mounts a small file system of a test's own."""
    place = tmp_path / "mounted"
    place.mkdir()

    def mount(options):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True).returncode:
            pytest.skip("mounting a file system needs rights that this process has not")
        return place

    yield mount
    subprocess.run(["umount", place], capture_output=True)


def failed(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_file_that_may_not_grow(tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data)
    line = failed(sys.executable, "-c", LIMITED, "import", "--config", config)
    assert f"{tmp_path}/workspace/samples/part-" in line
    assert "the file is larger than is allowed here. Raise the limit" in line


def test_a_full_disk_in_every_kind_of_write(mounted):
    place = mounted("size=64k")
    folder = Folder(place)
    for write in (
        lambda: folder.write_bytes("report.html", bytes(10**6)),
        lambda: save_checkpoint(folder),
    ):
        with pytest.raises(ArtefactError, match=f"^{place}/.*: the disk is full. Free space or move"):
            write()
        assert list(place.iterdir()) == [], "nothing half-written stays"


def save_checkpoint(folder):
    with folder.create("checkpoint.pt") as file:
        torch.save({"weights": torch.zeros(10**6)}, file)


def test_a_read_only_workspace(tiny_data, tmp_path, mounted):
    config = write_config(tmp_path, tiny_data, workspace=str(mounted("ro") / "workspace"))
    for command in ("import", "cycle", "harvest"):
        line = failed(CROSSCHECK, command, "--config", config)
        assert "mounted/workspace/lock: it is read-only. Mount it writable" in line


DEEP, LONG = '{"images": ' + "[" * 100_000, '{"images": ' + "9" * 5001 + "}"


@pytest.mark.parametrize("text", [DEEP, LONG], ids=["nested", "digits"])
def test_json_that_no_parser_takes(tmp_path, text):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(DataError, match=f"^{path}: expected JSON, got "):
        list(read_entries("coco", str(path), str(tmp_path)))
    with pytest.raises(ArtefactError, match=f"^{path}: expected JSON, got "):
        Folder(tmp_path).read_json("labels.json")
    with pytest.raises(SettingsError, match=f"^{path}: expected YAML, got "):
        load_settings(path)


def test_without_labelled_images_one_line_says_so(tiny_data, tmp_path):
    shutil.copytree(tiny_data / "pool", tmp_path / "pool")
    pool = {"split": "pool", "format": "images", "images": str(tmp_path / "pool")}
    config = write_config(tmp_path, tiny_data, data={"sources": [pool]}, labeling={"backend": "none"})
    done = subprocess.run([CROSSCHECK, "cycle", "--config", config], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.strip() and "━" not in line]
    assert len(errors) == 1, done.stderr
    assert "Expected labelled training images in" in errors[0]
