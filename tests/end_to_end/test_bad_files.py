"""Every kind of bad or unusual image among the images: the cycle finishes and its report lists them."""

from __future__ import annotations

import html
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline.dataset.store import SampleStore
from pipeline.records import State
from pipeline.workspace import Workspace
from tests.dataset.images import exif, save, scene, torn
from tests.end_to_end.project import labeled_sources, run_cycles, write_config

REFUSED = ("unreadable.jpg", "zero.jpg", "torn.jpg")
UNUSUAL = ("cmyk.jpg", "grey16.png", "huge.jpg", "rotated.jpg")


def put_bad_files(folder):
    folder.mkdir(exist_ok=True)
    (folder / "unreadable.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20)
    (folder / "zero.jpg").write_bytes(b"")
    torn(folder / "torn.jpg")
    save(folder / "cmyk.jpg", scene(21, (128, 96)).convert("CMYK"))
    grey = np.asarray(scene(22, (128, 96)).convert("L"), dtype=np.uint16) * 257
    Image.fromarray(grey).save(folder / "grey16.png")
    save(folder / "huge.jpg", scene(23, (6000, 5000)), quality=60)
    save(folder / "rotated.jpg", scene(24, (96, 128)), exif=exif(6))


@pytest.fixture(scope="module")
def finished(tiny_data, tmp_path_factory):
    """A finished cycle with every bad file in the pool, and two among the labelled images."""
    folder = tmp_path_factory.mktemp("bad")
    put_bad_files(folder / "arrivals")
    data = shutil.copytree(tiny_data, folder / "data")
    (data / "labeled" / "noise.jpg").write_bytes(bytes(reversed(range(256))) * 9)
    coco = json.loads((data / "labeled.json").read_text())
    sizes = {"width": 128, "height": 96}
    coco["images"] += [{"id": 100, "file_name": "noise.jpg", **sizes}, {"id": 101, "file_name": "gone.jpg", **sizes}]
    (data / "labeled.json").write_text(json.dumps(coco))
    arrivals = {"split": "pool", "format": "images", "images": str(folder / "arrivals")}
    return run_cycles(write_config(folder, data, data={"sources": [*labeled_sources(data), arrivals]}))


def test_what_cannot_be_decoded_is_quarantined_and_the_rest_takes_part(finished):
    store = SampleStore(Workspace(finished.workspace).samples_uri)
    quarantined = [sample for sample in store.samples() if sample.state is State.QUARANTINED]
    names = {sample.uri.rsplit("/", 1)[1] for sample in quarantined}
    assert names >= {*REFUSED, "noise.jpg"}
    assert names <= {*REFUSED, "noise.jpg", "gone.jpg"}
    sizes = {sample.uri.rsplit("/", 1)[1]: (sample.width, sample.height) for sample in store.samples()}
    assert sizes["huge.jpg"] == (6000, 5000)
    assert sizes["rotated.jpg"] == (128, 96), "as people see it"
    assert {sizes["cmyk.jpg"], sizes["grey16.png"]} == {(128, 96)}


def test_the_report_lists_them(finished):
    workspace = Workspace(finished.workspace)
    page = html.unescape(workspace.reports.read_bytes("cycle-0000.html").decode())
    issues = {issue["uri"].rsplit("/", 1)[1]: issue for issue in workspace.cycle(0).read_json("import.json")["issues"]}
    for name in (*REFUSED, *UNUSUAL, "noise.jpg", "gone.jpg"):
        assert name in page
        assert issues[name]["problem"] in page or issues[name]["detail"] in page
