from __future__ import annotations

import json

import pytest

from pipeline.dataset.visible_boxes import VisibleBoxes, read_visible_boxes
from pipeline.errors import DataError
from pipeline.records import Split
from pipeline.settings import SourceSettings
from tests.builders import box, sample

IMAGES = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}]


def annotation(number, bbox, image=7, **fields):
    return {"id": number, "image_id": image, "category_id": 1, "bbox": bbox, **fields}


def source(folder, annotations, split=Split.TRAIN):
    content = {"images": IMAGES, "annotations": annotations, "categories": [{"id": 1, "name": "bolt"}]}
    (folder / "train.json").write_text(json.dumps(content))
    return SourceSettings(split=split, format="coco", images=str(folder), annotations=str(folder / "train.json"))


def of(folder, annotations, *boxes):
    image = sample("a", *boxes, uri=f"{folder}/a.jpg", width=64, height=48)
    return read_visible_boxes([source(folder, annotations)]).of(image).tolist()


def test_nothing_is_known(tmp_path):
    assert read_visible_boxes([]).by_uri == {}
    assert read_visible_boxes([source(tmp_path, [annotation(1, [1, 2, 10, 20])])]).by_uri == {}
    assert VisibleBoxes().of(sample("a")).shape == (0, 4)
    assert VisibleBoxes().of(sample("a", box(0, 0, 5, 5))).isnan().all()


@pytest.mark.parametrize("name", ["visible_bbox", "vis_bbox", "vbox"])
def test_boxes_are_found_by_image_and_place(tmp_path, name):
    stated = [annotation(1, [30, 2, 10, 20]), annotation(2, [1, 2, 10, 20], **{name: [1, 2, 10, 5]})]
    found = of(tmp_path, stated, box(1, 2, 11, 22), box(30, 2, 40, 22))
    assert found[0] == [1, 2, 11, 7]
    assert all(value != value for value in found[1])


@pytest.mark.parametrize(
    ("visible", "boxes", "expected"),
    [
        ([1, 2, 10, 5], [(1, 2, 11, 22)], [1, 2, 11, 7]),
        ([1, 2, 10, 5], [(1.4, 2, 11, 22)], [1.4, 2, 11, 7]),
        ([1, 2, 10, 5], [(2, 2.5, 11, 22)], [2, 2.5, 11, 7]),  # a person moved its edges
        ([1, 2, 10, 5], [(1, 2, 11, 16)], None),  # too far for the same object
        ([-4, 2, 40, 5], [(1, 2, 11, 22)], [1, 2, 11, 7]),  # wider than its box
        ([20, 2, 10, 5], [(1, 2, 11, 22)], None),  # beside it
        ([1, 2, 0, 5], [(1, 2, 11, 22)], None),
        (None, [(1, 2, 11, 22)], None),
    ],
)
def test_what_is_known_of_a_box(tmp_path, visible, boxes, expected):
    found = of(tmp_path, [annotation(1, [1, 2, 10, 20], visible_bbox=visible)], *(box(*corners) for corners in boxes))
    assert found == [pytest.approx(expected)] if expected else found[0][0] != found[0][0]


def test_of_two_boxes_the_nearer_one_is_that_of_the_file(tmp_path):
    stated = [annotation(1, [1, 2, 10, 20], visible_bbox=[1, 2, 10, 5])]
    farther, nearer = of(tmp_path, stated, box(2, 2, 11, 22), box(1, 2, 11, 21))
    assert all(value != value for value in farther)
    assert nearer == [1, 2, 11, 7]


def test_boxes_that_the_import_cut_at_the_edge_are_found(tmp_path):
    stated = [annotation(1, [-10, 2, 30, 100], visible_bbox=[-10, 2, 30, 20])]
    assert of(tmp_path, stated, box(0, 2, 20, 48)) == [[0, 2, 20, 22]]


def test_crowds_and_other_splits_are_passed_over(tmp_path):
    crowd = [annotation(1, [1, 2, 10, 20], visible_bbox=[1, 2, 10, 5], iscrowd=1)]
    assert read_visible_boxes([source(tmp_path, crowd)]).by_uri == {}
    plain = [annotation(1, [1, 2, 10, 20], visible_bbox=[1, 2, 10, 5])]
    assert read_visible_boxes([source(tmp_path, plain, Split.VAL)]).by_uri == {}


def test_a_visible_box_of_three_numbers_is_refused_with_its_id(tmp_path):
    stated = [annotation(9, [1, 2, 10, 20], visible_bbox=[1, 2, 3])]
    with pytest.raises(DataError, match=r"annotations\[0\] \(id 9\) visible_bbox"):
        read_visible_boxes([source(tmp_path, stated)])
