import math

import pytest
import yaml

from pipeline.dataset.formats import yolo
from pipeline.dataset.formats.entry import Entry
from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.records import Region
from tests.builders import box, image_id, sample

NAMES = "names: [bolt, nut]"


def layout(tmp_path, files, images=("a.jpg",)):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in images:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "images").mkdir(exist_ok=True)


def entries(tmp_path, labels=()):
    return list(yolo.read(str(tmp_path / "labels"), str(tmp_path / "images"), labels))


def corners(entry):
    return [(one.x1, one.y1, one.x2, one.y2, one.label, one.where) for one in entry.boxes]


def test_an_empty_folder_has_no_entries(tmp_path):
    layout(tmp_path, {"data.yaml": NAMES}, images=())
    assert entries(tmp_path) == []


def test_boxes_are_shares_of_the_image(tmp_path):
    layout(tmp_path, {"data.yaml": NAMES, "labels/a.txt": "1 0.5 0.5 0.25 0.5\n\n0.0 0.25 0.25 0.5 0.5\n"})
    (found,) = entries(tmp_path)
    assert (found.uri, found.relative, found.width) == (f"{tmp_path}/images/a.jpg", True, None)
    assert corners(found) == [(0.375, 0.25, 0.625, 0.75, "nut", "line 1"), (0, 0, 0.5, 0.5, "bolt", "line 3")]


def test_an_empty_file_is_a_true_negative(tmp_path):
    layout(tmp_path, {"data.yaml": NAMES, "labels/a.txt": ""})
    assert entries(tmp_path) == [Entry(f"{tmp_path}/images/a.jpg", relative=True)]


def test_a_polygon_gives_the_box_round_it(tmp_path):
    layout(tmp_path, {"data.yaml": NAMES, "labels/a.txt": "0 0.1 0.5 0.3 0.2 0.4 0.9\n0 nan 0.5 0.3 0.2 0.4 0.9"})
    (found,) = entries(tmp_path)
    assert corners(found)[0][:4] == (0.1, 0.2, 0.4, 0.9)
    assert math.isnan(found.boxes[1].x1)


def test_folders_below_pair_up(tmp_path):
    layout(tmp_path, {"data.yaml": NAMES, "labels/x/a.txt": "", "labels/a.b.txt": ""}, ("x/a.png", "a.b.jpg"))
    assert [entry.uri for entry in entries(tmp_path)] == [f"{tmp_path}/images/a.b.jpg", f"{tmp_path}/images/x/a.png"]


def test_a_label_without_a_image_goes_on_to_be_reported(tmp_path):
    layout(tmp_path, {"data.yaml": NAMES, "labels/gone.txt": "", "labels/a.txt": ""})
    assert [entry.uri for entry in entries(tmp_path)][1] == f"{tmp_path}/images/gone"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("labels/classes.txt", "bolt\nnut\n"),
        ("labels/data.yaml", NAMES),
        ("data.yml", "names: {1: nut, 0: bolt}\nnc: 2"),
        ("../data.yaml", NAMES),
    ],
)
def test_class_names_come_from_the_nearest_file(tmp_path, file, text):
    root = tmp_path / "train"
    layout(root, {"labels/a.txt": "1 .5 .5 .1 .1", file: text})
    assert entries(root, ["wrong", "words"])[0].boxes[0].label == "nut"


def test_class_names_can_be_given(tmp_path):
    layout(tmp_path, {"labels/a.txt": "1 .5 .5 .1 .1"})
    assert entries(tmp_path, ["gear", "key"])[0].boxes[0].label == "key"
    with pytest.raises(DataError, match=r"Expected class names in data\.yaml or classes\.txt in or above"):
        entries(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .1", "expected a class and 4 numbers, or 3 or more points"),
        ("0 .5 .5 .1 .1 .9", "expected a class and 4 numbers"),
        ("0 .5 .5 .1 .1 .9 .3 .4", "expected a class and 4 numbers"),
        ("0 .5 .5 x .1", "expected numbers, got '0 .5 .5 x .1'"),
        ("2 .5 .5 .1 .1", "expected a class number from 0 to 1, got 2"),
        ("-1 .5 .5 .1 .1", "expected a class number from 0 to 1, got -1"),
        ("0.5 .5 .5 .1 .1", "expected a class number from 0 to 1, got 0.5"),
        ("nan .5 .5 .1 .1", "expected a class number from 0 to 1, got nan"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, message):
    layout(tmp_path, {"data.yaml": NAMES, "labels/a.txt": f"0 .5 .5 .1 .1\n{line}\n"})
    with pytest.raises(DataError, match=rf"labels/a\.txt: line 2: {message}"):
        entries(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: 5", "expected 'names'"),
        ("nc: 2", "expected 'names'"),
        ("names: {0: a, 2: b}", "expected 'names'"),
        ("a: [", "expected YAML"),
    ],
)
def test_class_names_that_make_no_sense_are_refused(tmp_path, text, message):
    layout(tmp_path, {"data.yaml": text, "labels/a.txt": ""})
    with pytest.raises(DataError, match=rf"data\.yaml: {message}"):
        entries(tmp_path)


def test_images_without_labels_are_refused(tmp_path):
    layout(tmp_path, {"data.yaml": NAMES, "labels/a.txt": ""}, ("a.jpg", "b.jpg", "c.jpg"))
    with pytest.raises(DataError, match=r"found none for 2: b\.jpg, c\.jpg\. Add an empty file"):
        entries(tmp_path)


def test_two_images_for_one_label_are_refused(tmp_path):
    layout(tmp_path, {"data.yaml": NAMES, "labels/a.txt": ""}, ("a.jpg", "a.png"))
    with pytest.raises(DataError, match=r"expected one image for a\.txt, got a\.jpg, a\.png"):
        entries(tmp_path)


def test_what_is_written(tmp_path):
    one = sample("one", box(32, 24, 96, 48, "nut"), ignore=(Region(1, 2, 3, 4, "crowd"),))
    names = {image_id("one"): "sub/a.jpg", image_id("two"): "b.jpg"}
    yolo.write([one, sample("two")], names, ["bolt", "nut"], Folder(tmp_path), "train")
    assert (tmp_path / "labels/train/sub/a.txt").read_text() == "1 0.20000000 0.15000000 0.20000000 0.10000000\n"
    assert (tmp_path / "labels/train/b.txt").read_text() == ""
    content = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert content == {"train": "images/train", "names": {0: "bolt", 1: "nut"}}
