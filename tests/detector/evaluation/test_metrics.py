from __future__ import annotations

import contextlib
import io
import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.artefacts import Metrics
from pipeline.detector.evaluation.labeled_detections import detect_labeled
from pipeline.detector.evaluation.metrics import measure
from pipeline.records import Region
from tests.builders import box, sample
from tests.dataset.images import torn
from tests.detector.small import Scripted, paint, painted, said
from tests.mining.squares import LABELS as SQUARES
from tests.mining.squares import SquareFinder, image, save_image

SIDE = 128
KNOWN = ("bolt", "nut", "gear")
NAMES = (*KNOWN, "washer")
"""The last is a class that the detector does not know."""
MEANS = ("map", "map50", "map75", "map_small", "map_medium", "map_large")


@pytest.fixture(scope="module")
def uris(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blank")
    return [paint(folder / f"{index}.png", size=(SIDE, SIDE)) for index in range(4)]


def labeled(uri, boxes=(), ignore=()):
    """An image with boxes `(corners, label)` and regions."""
    return sample(
        uri,
        *(box(*corners, label) for corners, label in boxes),
        uri=uri,
        width=SIDE,
        height=SIDE,
        ignore=tuple(Region(*corners, "crowd") for corners in ignore),
    )


def brief(of_class):
    return tuple(None if value is None else round(value, 9) for value in (of_class.ap, of_class.ap50, of_class.boxes))


def measured(samples, answers, labels=KNOWN) -> Metrics:
    return measure(detect_labeled(Scripted([said(*rows) for rows in answers], labels, SIDE, batch_size=3), samples))


# Against the reference implementation


def reference(scenes):
    """Average precision as pycocotools gives it: six means, and `ap`, `ap50` by class."""
    truth, results = [], []
    for number, (boxes, ignore, answers) in enumerate(scenes, 1):
        marked = [(corners, NAMES.index(label), 0) for corners, label in boxes]
        marked += [(corners, category, 1) for corners in ignore for category in range(len(NAMES))]
        truth += [entry(number, corners, category, iscrowd=crowd) for corners, category, crowd in marked]
        results += [entry(number, corners, label - 1, float(np.float32(score))) for corners, score, label in answers]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(indexed(truth, len(scenes)), indexed(results, len(scenes)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][..., -1]
    sizes = ("ap", "ap_small", "ap_medium", "ap_large")
    per_class = {
        name: {
            "ap50": mean(precision[0, :, k, 0]),
            **{size: mean(precision[:, :, k, area]) for area, size in enumerate(sizes)},
        }
        for k, name in enumerate(NAMES)
    }
    return [None if value == -1 else value for value in evaluation.stats[:6].tolist()], per_class


def entry(image, corners, category, score=1.0, iscrowd=0):
    x1, y1, x2, y2 = corners
    return {"image_id": image, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
            "category_id": category, "score": score, "iscrowd": iscrowd}  # fmt: skip


def indexed(entries, images):
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in range(1, images + 1)],
        "categories": [{"id": category} for category in range(len(NAMES))],
        "annotations": [{**one, "id": number} for number, one in enumerate(entries, 1)],
    }
    coco.createIndex()
    return coco


def mean(precision):
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else None


@st.composite
def corners(draw):
    """On a coarse grid, so that boxes meet; sides of 8 to 128 are small, medium and large."""
    x, y = (draw(st.integers(0, 15)) for _ in "xy")
    width, height = (draw(st.integers(1, 16 - start)) for start in (x, y))
    return 8 * x, 8 * y, 8 * (x + width), 8 * (y + height)


@st.composite
def scene(draw):
    """True boxes, ignore regions and detections; some detections are true boxes moved a little."""
    boxes = draw(st.lists(st.tuples(corners(), st.sampled_from(NAMES)), max_size=4))
    ignore = draw(st.lists(corners(), max_size=1))
    scores, numbers = st.sampled_from([0.1, 0.4, 0.7, 0.9]), st.integers(1, len(KNOWN))
    answers = draw(st.lists(st.tuples(corners(), scores, numbers), max_size=3))
    for (x1, y1, x2, y2), label in boxes:
        if draw(st.booleans()):
            number = 1 + KNOWN.index(label) if label in KNOWN else draw(numbers)
            right, down = (draw(st.integers(0, 3)) for _ in "xy")
            moved = (x1 + right, y1 + down, min(SIDE, x2 + right), min(SIDE, y2 + down))
            answers.append((moved, draw(scores), number))
    return boxes, ignore, answers


@settings(max_examples=120, deadline=None)
@given(scenes=st.lists(scene(), max_size=4))
def test_the_numbers_are_those_of_pycocotools(uris, scenes):
    samples = [labeled(uri, boxes, ignore) for uri, (boxes, ignore, _) in zip(uris, scenes, strict=False)]
    found = measured(samples, [answers for *_, answers in scenes])
    means, per_class = reference(scenes)
    assert [getattr(found, name) for name in MEANS] == pytest.approx(means, abs=1e-9)
    there = [label for boxes, *_ in scenes for _, label in boxes]
    assert found.per_class.keys() == {*KNOWN, *there}
    for name, of_class in found.per_class.items():
        values = {key: value for key, value in asdict(of_class).items() if key != "interval"}
        assert values == pytest.approx({**per_class[name], "boxes": there.count(name)}, abs=1e-9)
    assert (found.images, found.boxes, found.faults) == (len(scenes), len(there), ())


# What is known beforehand


def test_right_detections_are_worth_one(tmp_path):
    """Images of several shapes go through scaling and padding on their way."""
    drawn = [((64, 48), (4, 6, 20, 26, 1, 200)), ((48, 64), (8, 40, 30, 60, 2, 180)), ((64, 32), (3, 3, 9, 9, 3, 220))]
    samples = []
    for number, (size, (*corners, label, brightness)) in enumerate(drawn):
        ref = save_image(tmp_path, f"{number}", image((*corners, label, brightness), size=size))
        box_ = box(*corners, SQUARES[label - 1])
        samples.append(sample(f"{number}", box_, uri=ref.uri, width=size[0], height=size[1]))
    exact = measure(detect_labeled(SquareFinder(image_size_px=64, batch_size=2), samples))
    assert (exact.map, exact.map50, exact.map75, exact.map_small) == pytest.approx((1, 1, 1, 1))
    assert exact.map_medium is exact.map_large is None
    assert {name: brief(values) for name, values in exact.per_class.items()} == dict.fromkeys(SQUARES, (1, 1, 1))
    scaled = measure(detect_labeled(SquareFinder(image_size_px=128, batch_size=2), samples))
    assert scaled.map50 == pytest.approx(1)


def test_finding_nothing_is_worth_nothing(uris):
    true = [((0, 0, 40, 40), "bolt"), ((50, 50, 60, 60), "nut")]
    found = measured([labeled(uris[0], true), labeled(uris[1])], [[], []])
    assert (found.map, found.map50, found.map_small, found.map_medium, found.map_large) == (0, 0, 0, 0, None)
    assert {name: brief(values) for name, values in found.per_class.items()} == {
        "bolt": (0, 0, 1),
        "nut": (0, 0, 1),
        "gear": (None, None, 0),
    }


@pytest.mark.parametrize("images", [0, 2])
def test_nothing_to_find_cannot_be_measured(uris, images):
    found = measured([labeled(uri) for uri in uris[:images]], [[((0, 0, 9, 9), 0.9, 1)]] * images)
    assert {getattr(found, name) for name in MEANS} == {None}
    assert found.interval is None
    assert (found.images, found.boxes) == (images, 0)
    assert {of_class.ap for of_class in found.per_class.values()} == {None}


def test_an_unknown_class_counts_as_missed(uris):
    true = [((0, 0, 40, 40), "bolt"), ((50, 50, 90, 90), "washer")]
    answers = [((0, 0, 40, 40), 0.9, 1), ((50, 50, 90, 90), 0.8, 2)]
    found = measured([labeled(uris[0], true)], [answers])
    assert found.per_class["bolt"].ap == pytest.approx(1)
    assert brief(found.per_class["washer"]) == (0, 0, 1)
    assert found.map == pytest.approx(0.5)


@pytest.mark.parametrize(("ignore", "expected"), [((), 0.5), (((60, 60, 128, 128),), 1.0)])
def test_ignore_regions_neither_help_nor_hurt(uris, ignore, expected):
    """Two surer detections lie in the region; without it they are false and halve the precision or worse."""
    answers = [((64, 64, 90, 90), 0.95, 1), ((0, 0, 40, 40), 0.9, 1)]
    found = measured([labeled(uris[0], [((0, 0, 40, 40), "bolt")], ignore)], [answers])
    assert found.map50 == pytest.approx(expected)
    assert found.boxes == 1
    empty = measured([labeled(uris[0], [], ignore)], [answers])
    assert (empty.map, empty.boxes) == (None, 0)


def test_unreadable_images_are_reported_and_do_not_count(tmp_path):
    samples = [painted(tmp_path, f"{index}", box(4, 4, 30, 30, "bolt")) for index in range(3)]
    torn(tmp_path / "1.png")
    found = measure(detect_labeled(Scripted([said(((4, 4, 30, 30), 0.9, 1))] * 2), samples))
    assert (found.images, found.boxes) == (2, 2)
    assert found.map == pytest.approx(1)
    ((uri, reason),) = found.faults
    assert uri == samples[1].uri
    assert reason
    (tmp_path / "0.png").unlink()
    (tmp_path / "2.png").unlink()
    nothing = measure(detect_labeled(Scripted([]), samples))
    assert (nothing.map, nothing.images, len(nothing.faults)) == (None, 0, 3)


def test_metrics_are_plain_numbers(uris):
    """They are written as JSON."""
    found = asdict(measured([labeled(uris[0], [((0, 0, 40, 40), "bolt")])], [[((0, 0, 40, 40), 0.9, 1)]]))
    sizes = {"map_small": type(None), "map_large": type(None)}  # the box is of medium size
    assert {name: type(found[name]) for name in MEANS} == {**dict.fromkeys(MEANS, float), **sizes}
    json.dumps(found, allow_nan=False)
