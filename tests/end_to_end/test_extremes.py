"""Projects at the edge of what a night may bring: each cycle ends, and says what it is about."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from pipeline.artefacts import Certificates, MiningRun
from pipeline.cycle import load_cycle
from pipeline.records import Split
from pipeline.workspace import Workspace
from tests.end_to_end.project import labeled_sources, run_cycles, write_config

SIDE = 10_000
CROWD = 500


def crowd(data):
    """The first labelled image has so many boxes, and every box is of one class."""
    for name in ("labeled", "val", "test"):
        coco = json.loads((data / f"{name}.json").read_text())
        boxes = [{**box, "category_id": 1} for box in coco["annotations"]]
        if name == "labeled":
            places = [[x * 5, y * 4, 4, 4] for y in range(24) for x in range(25)][:CROWD]
            boxes = [box for box in boxes if box["image_id"] != 1]
            boxes += [
                {"id": 1000 + at, "image_id": 1, "category_id": 1, "bbox": place, "area": 16, "iscrowd": 0}
                for at, place in enumerate(places)
            ]
        coco |= {"annotations": boxes, "categories": [{"id": 1, "name": "red"}]}
        (data / f"{name}.json").write_text(json.dumps(coco))


@pytest.fixture(scope="module")
def cycle(tiny_data, tmp_path_factory):
    """One class that no certificate is given, 500 boxes in a labelled image, 100 megapixels in the pool."""
    folder = tmp_path_factory.mktemp("extremes")
    data = shutil.copytree(tiny_data, folder / "data")
    crowd(data)
    Image.new("L", (SIDE, SIDE), 130).save(data / "pool" / "100-megapixels.png")
    pool = {"split": "pool", "format": "images", "images": str(data / "pool")}
    config = write_config(
        folder,
        data,
        data={"labels": ["red"], "sources": [*labeled_sources(data), pool]},
        selection={"min_class_boxes": 10_000, "soft_from": None},
        labeling={"backend": "none"},
        training={"steps": 6},
    )
    return load_cycle(run_cycles(config).workspace, 0)


def test_one_class_alone(cycle):
    assert {box.label for sample in cycle.store.labeled(Split.TRAIN) for box in sample.boxes} == {"red"}
    assert set(cycle.folder.read_table("proposals.parquet", ["label"])["label"].to_pylist()) <= {"red"}


def test_an_image_of_500_boxes_is_learnt_from_and_pasted_into(cycle):
    assert max(len(sample.boxes) for sample in cycle.store.labeled(Split.TRAIN)) == CROWD
    assert cycle.read(MiningRun).faults == ()


def test_an_image_of_100_megapixels_is_mined(cycle):
    (large,) = [sample for sample in cycle.store.samples(splits=[Split.POOL]) if sample.width == SIDE]
    assert large.height == SIDE
    assert cycle.read(MiningRun).images == 13
    assert cycle.read(MiningRun).faults == ()


def test_where_no_class_is_certified_nobody_but_people_writes(cycle):
    (of_red,) = cycle.read(Certificates).classes.values()
    assert not of_red.certified
    assert sum(len(sample.boxes) for sample in cycle.store.samples(splits=[Split.POOL])) == 0
    page = Workspace(cycle.settings.workspace).reports.read_bytes("cycle-0000.html").decode()
    assert "red" in page
