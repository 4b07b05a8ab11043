import json

import pytest

from pipeline.dataset.formats import coco
from pipeline.dataset.formats.entry import Entry, EntryBox
from pipeline.errors import DataError
from pipeline.records import Region, Source
from pipeline.workspace import Folder
from tests.builders import box, image_id, sample

IMAGE = {"id": 7, "file_name": "a.jpg", "width": 64, "height": 48}
BOLT = {"id": 1, "name": "bolt"}


def content(images=(IMAGE,), annotations=(), categories=(BOLT,), **more):
    return {"images": list(images), "annotations": list(annotations), "categories": list(categories), **more}


def annotation(number=1, bbox=(1, 2, 10, 20), **fields):
    return {"id": number, "image_id": 7, "category_id": 1, "bbox": list(bbox), **fields}


def entries(tmp_path, value):
    file = tmp_path / "train.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return list(coco.read(str(file), str(tmp_path / "images")))


def test_no_images_no_entries(tmp_path):
    assert entries(tmp_path, content(images=())) == []


def test_boxes_crowds_negatives_and_sizes(tmp_path):
    found = entries(
        tmp_path,
        content(
            images=[IMAGE, {"id": "x", "file_name": "sub/b.jpg", "width": 0, "height": None}],
            annotations=[annotation(1), annotation(2, (0.5, 0, 3, 4), iscrowd=1, segmentation={"counts": "abc"})],
            info={"year": 2020},
        ),
    )
    boxes = (
        EntryBox(1, 2, 11, 22, "bolt", "annotation 1"),
        EntryBox(0.5, 0, 3.5, 4, "bolt", "annotation 2", "crowd"),
    )
    assert found == [
        Entry(f"{tmp_path}/images/a.jpg", boxes, 64, 48),
        Entry(f"{tmp_path}/images/sub/b.jpg"),
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", r"train\.json: expected JSON, got Expecting value"),
        ("[]", r"train\.json: the file: "),
        ("{}", r"train\.json: images: Field required"),
        (content(images=[{"id": 3}]), r"images\[0\] \(id 3\) file_name: Field required"),
        (content(images=[5]), r"images\[0\] \(id None\)"),
        (content(annotations=[annotation(9, (1, 2, 3))]), r"annotations\[0\] \(id 9\) bbox\.3: Field required"),
        (content(annotations=[annotation(9, (1, 2, "x", 4))]), r"annotations\[0\] \(id 9\) bbox\.2: .*got 'x'"),
        (content(annotations=[{**annotation(4), "image_id": 8}]), "annotation 4: expected the id of an image, got 8"),
        (
            content(annotations=[{**annotation(4), "category_id": 5}]),
            "annotation 4: expected the id of a category, got 5",
        ),
        (content(images=[IMAGE, IMAGE]), "expected every image id once, got 2 for 1 ids"),
        (content(images=[{**IMAGE, "file_name": "../a.jpg"}]), r"train\.json: image 7: expected the path of an image"),
    ],
)
def test_a_malformed_file_is_named_with_the_id(tmp_path, value, message):
    with pytest.raises(DataError, match=message):
        entries(tmp_path, value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"Expected a file at .*none\.json"):
        list(coco.read(str(tmp_path / "none.json"), str(tmp_path)))


def test_a_box_that_is_no_number_is_left_to_the_checks(tmp_path):
    text = json.dumps(content(annotations=[annotation(1)])).replace("[1, 2, 10, 20]", "[NaN, 2, 10, 20]")
    (found,) = entries(tmp_path, text)
    assert found.boxes[0].x1 != found.boxes[0].x1


def test_written_boxes_say_where_they_come_from(tmp_path):
    pseudo = box(label="nut", source=Source.PSEUDO, score=0.5, p_correct=0.75, model_id="m")
    one = sample("one", box(10, 20, 30.1234, 60), pseudo, ignore=(Region(1, 2, 3, 5, "unsure"),))
    coco.write(
        [one, sample("two")],
        {image_id("one"): "a.jpg", image_id("two"): "b.jpg"},
        ["bolt", "nut"],
        Folder(tmp_path),
        "train",
    )
    written = json.loads((tmp_path / "train.json").read_text())
    assert [(image["file_name"], image["sha256"]) for image in written["images"]] == [
        ("a.jpg", image_id("one")),
        ("b.jpg", image_id("two")),
    ]
    assert [category["name"] for category in written["categories"]] == ["bolt", "nut"]
    first, second, *crowds = written["annotations"]
    assert (first["bbox"], first["source"], first["score"]) == ([10, 20, 20.123, 40], "import", None)
    assert (second["category_id"], second["source"], second["p_correct"], second["model_id"]) == (
        2,
        "pseudo",
        0.75,
        "m",
    )
    assert [(crowd["category_id"], crowd["iscrowd"], crowd["ignore_reason"]) for crowd in crowds] == [
        (1, 1, "unsure"),
        (2, 1, "unsure"),
    ]
    assert [one["id"] for one in written["annotations"]] == [1, 2, 3, 4]
