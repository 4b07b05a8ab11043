"""The formats together: what is written in one is read back the same, within what the format can hold."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.dataset.checks import check_entries
from pipeline.dataset.formats import read_entries, writer_of
from pipeline.folder import Folder
from pipeline.records import Region, Split
from pipeline.settings import DataSettings
from tests.builders import box, sample
from tests.dataset.images import save, scene

LABELS = ("bolt", "nut", "gear")
NOW = datetime(2026, 1, 2, tzinfo=UTC)
SIZE = (320, 240)
# COCO is written with 3 decimals, YOLO with 8 decimals of a share, VOC with whole pixels.
TOLERANCE_PX = {"coco": 0.0015, "yolo": 1e-4, "voc": 0.5001}
ANNOTATIONS = {"coco": "train.json", "yolo": "labels/train", "voc": "annotations/train"}


@st.composite
def some_boxes(draw):
    count = draw(st.integers(0, 6))
    found = []
    for _ in range(count):
        x, y = draw(st.floats(0, SIZE[0] - 3)), draw(st.floats(0, SIZE[1] - 3))
        w, h = draw(st.floats(2, SIZE[0] - x)), draw(st.floats(2, SIZE[1] - y))
        found.append(box(x, y, min(x + w, SIZE[0]), min(y + h, SIZE[1]), draw(st.sampled_from(LABELS))))
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    save(folder / "one.jpg", scene(1, SIZE))
    save(folder / "two.jpg", scene(2, SIZE))
    return folder


def through(format_name, samples, images, folder):
    names = {one.image_id: one.uri.rsplit("/", 1)[1] for one in samples}
    writer_of(format_name)(samples, names, LABELS, Folder(folder), "train")
    entries = read_entries(format_name, str(folder / ANNOTATIONS[format_name]), str(images), ("wrong",))
    result = check_entries(entries, Split.TRAIN, DataSettings(labels=LABELS), NOW)
    assert not [issue for issue in result.issues if issue.problem != "box_repeated"]
    return sorted(result.samples, key=lambda one: one.uri)


def objects(one):
    return sorted((part.label, *part.xyxy) for part in one.boxes)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes=some_boxes())
@pytest.mark.parametrize("path", [["coco"], ["yolo"], ["voc"], ["coco", "yolo", "voc"], ["voc", "yolo", "coco"]])
def test_boxes_survive_a_journey(images, tmp_path, path, boxes):
    distinct = {(one.label, *(round(v) for v in one.xyxy)): one for one in boxes}.values()
    samples = [
        sample("one", *distinct, uri=f"{images}/one.jpg"),
        sample("two", uri=f"{images}/two.jpg"),
    ]
    start = samples
    for format_name in path:
        samples = through(format_name, samples, images, tmp_path)
    tolerance = sum(TOLERANCE_PX[name] for name in path)
    (one, two), (same, empty) = start, samples
    assert (empty.boxes, empty.uri) == ((), two.uri)
    assert len(same.boxes) == len(one.boxes)
    left = objects(same)
    for part in objects(one):
        match = next(m for m in left if m[0] == part[0] and m[1:] == pytest.approx(part[1:], abs=tolerance))
        left.remove(match)


@pytest.mark.parametrize(("format_name", "reason"), [("coco", "crowd"), ("voc", "difficult"), ("yolo", None)])
def test_ignore_regions_survive_where_the_format_has_a_place(images, tmp_path, format_name, reason):
    one = sample("one", box(), uri=f"{images}/one.jpg", ignore=(Region(4, 6, 20, 30, "unsure"),))
    two = sample("two", uri=f"{images}/two.jpg")
    found, _ = through(format_name, [one, two], images, tmp_path)
    assert found.ignore == (() if reason is None else (Region(4, 6, 20, 30, reason),))
    assert len(found.boxes) == 1


def test_images_have_no_annotations(images):
    assert len(list(read_entries("images", None, str(images)))) == 2
    for arguments in [("images", "x"), ("coco", None), ("tfrecord", "x")]:
        with pytest.raises(ValueError, match="Expected format coco, yolo or voc with annotations"):
            read_entries(*arguments, str(images))


def test_an_unknown_format_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="Expected format coco, yolo or voc, got 'images'"):
        writer_of("images")
