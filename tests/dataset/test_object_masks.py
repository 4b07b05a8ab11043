from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pipeline.dataset.formats.coco_masks import MASK_SIDE, Rle, rasterize, runs_of, unpack
from pipeline.dataset.object_masks import Masks, ObjectMasks, read_masks
from pipeline.errors import DataError
from pipeline.records import Split
from pipeline.settings import SourceSettings
from tests.builders import box, sample

WIDTH, HEIGHT = 64, 48
BBOX = [10, 4, 32, 16]
TRIANGLE = [10, 4, 42, 4, 10, 20]
"""The upper left half of the box."""
HALF = np.add.outer(np.arange(MASK_SIDE), np.arange(MASK_SIDE)) < MASK_SIDE - 1
RUNS = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
RUNS[4:20, 10:26] = True
"""The left half of the box."""


def raster(segmentation, bbox=BBOX):
    packed = rasterize(Rle(**segmentation) if isinstance(segmentation, dict) else segmentation, tuple(bbox))
    return unpack([packed])[0].astype(bool)


def uncompressed(mask):
    flat = np.concatenate([[False], mask.ravel(order="F")])
    ends = np.flatnonzero(np.diff(flat, append=not flat[-1]))
    return {"size": list(mask.shape), "counts": np.diff(ends, prepend=0).tolist()}


def test_a_polygon_is_drawn_over_its_box():
    drawn = raster([TRIANGLE])
    assert (drawn != HALF).mean() < 0.02
    assert drawn[0, 0]
    assert not drawn[-1, -1]


def test_several_polygons_are_one_mask():
    drawn = raster([[10, 4, 18, 4, 18, 20, 10, 20], [34, 4, 42, 4, 42, 20, 34, 20]])
    quarter = MASK_SIDE // 4
    assert drawn[:, 1 : quarter - 1].all()
    assert drawn[:, 3 * quarter + 1 : -1].all()
    assert not drawn[:, quarter + 1 : 3 * quarter - 1].any()


@pytest.mark.parametrize("write", [runs_of, uncompressed])
def test_runs_are_cut_to_the_box(write):
    drawn = raster(write(RUNS))
    assert drawn[:, : MASK_SIDE // 2].all()
    assert not drawn[:, MASK_SIDE // 2 :].any()


def test_a_box_that_leaves_the_image_sees_nothing_there():
    drawn = raster(runs_of(np.ones((HEIGHT, WIDTH), dtype=np.bool_)), [-32, 0, 64, 48])
    assert not drawn[:, : MASK_SIDE // 2].any()
    assert drawn[:, MASK_SIDE // 2 :].all()


@pytest.mark.parametrize(
    ("segmentation", "bbox"),
    [
        ([], BBOX),
        ([[10, 4, 42, 4, 42, 20, 10, 20]], BBOX),  # its box again
        ([[50, 40, 60, 40, 60, 46]], BBOX),  # beside it
        ([TRIANGLE], [10, 4, 0, 16]),
    ],
)
def test_what_tells_no_more_than_a_box_is_no_mask(segmentation, bbox):
    assert rasterize(segmentation, tuple(bbox)) == b""


def source(folder, *annotations, split=Split.TRAIN):
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
        "annotations": [
            {"id": number, "image_id": 7, "category_id": 1, "bbox": BBOX, **fields}
            for number, fields in enumerate(annotations, start=1)
        ],
        "categories": [{"id": 1, "name": "bolt"}],
    }
    (folder / "train.json").write_text(json.dumps(content))
    return SourceSettings(split=split, format="coco", images=str(folder), annotations=str(folder / "train.json"))


def image(folder, *boxes):
    return sample("a", *boxes, uri=f"{folder}/a.jpg", width=WIDTH, height=HEIGHT)


def test_masks_are_found_by_image_and_place(tmp_path):
    stated = {"segmentation": [TRIANGLE]}, {"bbox": [0, 30, 8, 8], "segmentation": None}, {"bbox": [40, 30, 8, 8]}
    masks = read_masks([source(tmp_path, *stated)]).of(
        image(tmp_path, box(40, 30, 48, 38), box(10.4, 4, 42, 20), box(12, 4, 42, 20), box(0, 30, 8, 38))
    )
    assert masks.known.tolist() == [False, True, False, False]
    assert masks.frames[1].tolist() == [[10, 4], [42, 4], [10, 20]]
    assert masks.rasters[1].numpy().tolist() == raster([TRIANGLE]).astype(int).tolist()
    assert not masks.rasters[[0, 2, 3]].any()


def test_a_box_that_the_import_cut_keeps_the_frame_of_the_file(tmp_path):
    stated = {"bbox": [-10, 2, 30, 100], "segmentation": [[-10, 2, 20, 2, -10, 102]]}
    masks = read_masks([source(tmp_path, stated)]).of(image(tmp_path, box(0, 2, 20, 48)))
    assert masks.frames[0].tolist() == [[-10, 2], [20, 2], [-10, 102]]


def test_nothing_is_known(tmp_path):
    crowd = {"segmentation": runs_of(RUNS), "iscrowd": 1}
    assert read_masks([]).by_uri == {}
    assert read_masks([source(tmp_path, {}, crowd)]).by_uri == {}
    assert read_masks([source(tmp_path, {"segmentation": [TRIANGLE]}, split=Split.VAL)]).by_uri == {}
    assert len(ObjectMasks().of(sample("a")).frames) == 0
    assert not ObjectMasks().of(sample("a", box(0, 0, 5, 5))).known.any()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], r"annotations\[1\] \(id 2\).*three corners or more in a polygon, got 4 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "got 7 numbers"),
        ({"size": [4, 4], "counts": [3, 500]}, r"annotations\[1\] \(id 2\).*exceed the mask"),
        ({"size": [4, 4], "counts": "oooooooooooooooo"}, r"\(id 2\).*malformed"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, r"\(id 2\).*at most 268435456 pixels, got 1000000 x 1000000"),
        ({"size": [-4, -4], "counts": [16]}, r"\(id 2\).*got -4 x -4"),
        ({"size": [4]}, r"\(id 2\).*size"),
        ("mask.png", r"\(id 2\).*segmentation"),
    ],
)
def test_a_broken_mask_is_refused_with_its_id(tmp_path, segmentation, message):
    with pytest.raises(DataError, match=message):
        read_masks([source(tmp_path, {}, {"segmentation": segmentation})])


def test_masks_of_some_boxes():
    masks = Masks(torch.arange(12.0).reshape(2, 3, 2), torch.ones(2, MASK_SIDE, MASK_SIDE, dtype=torch.uint8))
    assert masks.without(torch.tensor([True, False])).known.tolist() == [False, True]
    assert masks[1:].frames.tolist() == masks.frames[1:].tolist()
    assert masks.scaled(2, 10).frames[0].tolist() == [[0, 10], [4, 30], [8, 50]]
    assert Masks.join([masks[1:], Masks.unknown(1)]).known.tolist() == [True, False]
