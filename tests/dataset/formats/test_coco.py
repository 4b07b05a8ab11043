import codecs
import json
import tracemalloc
from pathlib import Path

import pytest

from pipeline.dataset.formats import coco
from pipeline.dataset.formats.entry import Entry, EntryBox
from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.records import Region, Source
from tests.builders import box, image_id, sample

IMAGE = {"id": 7, "file_name": "a.jpg", "width": 64, "height": 48}
BOLT = {"id": 1, "name": "bolt"}


def content(images=(IMAGE,), annotations=(), categories=(BOLT,), **more):
    lists = {"images": images, "annotations": annotations, "categories": categories}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in lists.items()} | more


def annotation(number=1, bbox=(1, 2, 10, 20), **fields):
    return {"id": number, "image_id": 7, "category_id": 1, "bbox": list(bbox), **fields}


def entries(tmp_path, value):
    file = tmp_path / "train.json"
    if isinstance(value, bytes):
        file.write_bytes(value)
    else:
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
        (content(annotations=None), r"train\.json: annotations: Input should be a valid list, got None"),
        (content(images={"id": 1}), r"train\.json: images: Input should be a valid list"),
        (content(categories=[{"id": 1}]), r"categories\[0\] \(id 1\) name: Field required"),
        ('{"images": [], "annotations": []}', r"train\.json: categories: Field required"),
        ('{"images": [{"id": ' + "9" * 5000 + "}]}", r"train\.json: expected JSON, got Exceeds the limit"),
        ('{"images": ' + "[" * 100_000, r"train\.json: expected JSON, got JSON that is nested too deeply"),
        ('{"images": [1, 2', r"train\.json: expected JSON, got Expecting ',' delimiter: line 1 column 17"),
        (content(images=[IMAGE, IMAGE]), "expected every image id once, got 2 for 1 ids"),
        (content(images=[{**IMAGE, "file_name": "../a.jpg"}]), r"train\.json: image 7: expected the path of an image"),
    ],
)
def test_a_malformed_file_is_named_with_the_id(tmp_path, value, message):
    with pytest.raises(DataError, match=message):
        entries(tmp_path, value)


def test_sections_may_stand_in_any_order_and_the_last_of_two_counts(tmp_path):
    first = content(annotations=[annotation(1), annotation(2, (5, 5, 5, 5))])
    expected = entries(tmp_path, first)
    assert [each.where for each in expected[0].boxes] == ["annotation 1", "annotation 2"]
    backwards = dict(reversed(first.items()))
    assert list(backwards)[-1] == "images"
    assert entries(tmp_path, backwards) == expected
    twice = '{"images": [5], "annotations": [{}], ' + json.dumps(first)[1:]
    with pytest.raises(DataError, match=r"images\[0\]"):
        entries(tmp_path, twice)
    other = json.dumps(content(images=[{**IMAGE, "id": 8}], annotations=[{**annotation(3), "image_id": 8}]))
    assert entries(tmp_path, other[:-1] + ", " + json.dumps(first)[1:]) == expected


def test_an_id_that_is_a_text_is_not_the_number(tmp_path):
    images = [IMAGE, {"id": "7", "file_name": "b.jpg", "width": 10**30, "height": 2**63}]
    marks = [annotation(1), {**annotation("x"), "image_id": "7"}, {**annotation(10**30), "image_id": "7"}]
    one, other = entries(tmp_path, content(images=images, annotations=marks))
    assert [each.where for each in one.boxes] == ["annotation 1"]
    assert [each.where for each in other.boxes] == ["annotation x", f"annotation {10**30}"]
    assert (other.width, other.height) == (10**30, 2**63)


def test_many_annotations_come_to_their_images(tmp_path):
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(9000, 0, -1)]
    marks = [{**annotation(number, (number, 0, 1, 1)), "image_id": 1 + number % 8999} for number in range(20_000)]
    found = entries(tmp_path, content(images=images, annotations=marks))
    assert [Path(entry.uri).stem for entry in found] == [str(image["id"]) for image in images]
    for entry in found:
        own = int(Path(entry.uri).stem) - 1
        expected = [number for number in range(own, 20_000, 8999) if own < 8999]
        assert [int(each.x1) for each in entry.boxes] == expected


def test_a_mark_at_the_beginning_is_passed_over_and_other_bytes_are_named(tmp_path):
    text = json.dumps(content(annotations=[annotation(1)]))
    assert entries(tmp_path, codecs.BOM_UTF8 + text.encode()) == entries(tmp_path, text)
    with pytest.raises(DataError, match=r"train\.json: expected UTF-8 text, got byte 0xff at 13"):
        entries(tmp_path, b'{"images": [ \xff')
    with pytest.raises(DataError, match=r"train\.json: expected UTF-8 text, got byte 0xc3 at 2"):
        entries(tmp_path, b'{"\xc3')


def test_memory_does_not_follow_the_file(tmp_path):
    outline = [[0.123456789 + place for place in range(100)]]
    marks = [annotation(number, segmentation=outline) for number in range(10_000)]
    (tmp_path / "train.json").write_text(json.dumps(content(annotations=marks)))
    tracemalloc.start()
    (found,) = coco.read(str(tmp_path / "train.json"), str(tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.boxes) == 10_000
    size = (tmp_path / "train.json").stat().st_size
    assert size > 14e6
    assert peak < size, "the whole file, decoded, takes more than three times as much"


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
