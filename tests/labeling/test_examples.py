"""Example pictures of the classes, cut from labelled images."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.artefacts import ClassExamples
from pipeline.dataset.images import file_id
from pipeline.folder import Folder
from pipeline.labeling.examples import HEIGHT_PX, PER_CLASS, PICTURES, WIDEST_PX, typical_boxes, write_examples
from tests.builders import box, sample

LABELS = ("bolt", "nut", "a/b: ü")


@pytest.fixture
def labelled(tmp_path):
    """Five images with a bolt each, larger from image to image, and one nut."""

    def build(number):
        file = tmp_path / f"{number}.png"
        Image.fromarray(np.full((200, 300, 3), 40 * number + 20, np.uint8)).save(file)
        bolts = [box(50, 50, 70 + 10 * number, 90)]
        others = [box(100, 100, 140, 130, "nut"), box(0, 0, 290, 8, "a/b: ü")] if number == 0 else []
        made = sample(str(number), *bolts, *others, uri=str(file), width=300, height=200)
        return replace(made, image_id=file_id(made.uri))

    return [build(number) for number in range(5)]


def pictures(folder):
    return folder.folder(PICTURES).names()


def opened(folder, name):
    return Image.open(io.BytesIO(folder.folder(PICTURES).read_bytes(name)))


def test_without_labelled_images_there_are_no_pictures(tmp_path):
    folder = Folder(tmp_path / "labeling")
    assert write_examples([], LABELS, folder, 10**6) == ClassExamples({})
    assert folder.read_record(ClassExamples.FILE, ClassExamples) == ClassExamples({})
    assert pictures(folder) == []


def test_boxes_that_are_typical_for_their_class_are_chosen_in_whatever_order_images_come(labelled):
    chosen = typical_boxes(labelled, "bolt")
    assert [one.uri[-5] for one, _ in chosen] == ["2", "3", "1"]
    assert typical_boxes(labelled[::-1], "bolt") == chosen
    assert typical_boxes(labelled, "washer") == []


def test_an_image_gives_one_box_however_many_it_has(labelled):
    crowded = sample("crowd", *(box(10 * place, 10, 10 * place + 40, 50) for place in range(9)))
    chosen = typical_boxes([*labelled, crowded], "bolt")
    assert len({one.image_id for one, _ in chosen}) == len(chosen) == PER_CLASS


def test_every_class_gets_a_picture_of_its_objects(labelled, tmp_path):
    folder = Folder(tmp_path / "labeling")
    made = write_examples(labelled, LABELS, folder, 10**6).pictures
    assert list(made) == list(LABELS)
    assert sorted(made.values()) == pictures(folder)
    assert made["a/b: ü"].startswith("a-b-")
    nut = opened(folder, made["nut"])
    assert nut.size == (114, HEIGHT_PX)
    pixels = np.asarray(nut.convert("RGB")).astype(int)
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 130)
    rows, columns = np.nonzero(red)
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    scale = HEIGHT_PX / 54
    assert np.allclose([left, top, right, bottom], np.array([12, 12, 52, 42]) * scale, atol=3)
    assert opened(folder, made["a/b: ü"]).size[0] <= WIDEST_PX


def test_pictures_stay_until_others_are_chosen(labelled, tmp_path):
    folder = Folder(tmp_path / "labeling")
    first = write_examples(labelled, ("bolt", "nut"), folder, 10**6)
    before = {name: folder.folder(PICTURES).read_bytes(name) for name in pictures(folder)}
    for one in labelled:
        (tmp_path / f"{one.uri[-5]}.png").unlink()
    assert write_examples(labelled[::-1], ("bolt", "nut"), folder, 10**6) == first
    assert {name: folder.folder(PICTURES).read_bytes(name) for name in pictures(folder)} == before
    assert write_examples(labelled[:1], ("nut",), folder, 10**6).pictures == {"nut": first.pictures["nut"]}
    assert pictures(folder) == [first.pictures["nut"]]


def test_what_cannot_be_read_is_left_out(labelled, tmp_path):
    folder = Folder(tmp_path / "labeling")
    (tmp_path / "2.png").write_bytes(b"no image")
    (tmp_path / "0.png").unlink()
    made = write_examples(labelled, ("bolt", "nut"), folder, 10**6).pictures
    assert list(made) == ["bolt"]
    whole = write_examples(labelled[1:2], ("bolt",), Folder(tmp_path / "other"), 10**6).pictures["bolt"]
    one = opened(Folder(tmp_path / "other"), whole).width
    assert one < opened(folder, made["bolt"]).width < 3 * one
