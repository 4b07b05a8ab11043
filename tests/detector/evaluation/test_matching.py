from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.boxes import as_boxes
from pipeline.detector.evaluation.matching import (
    IOUS,
    MOST_PER_CLASS,
    match,
    match_boxes,
    match_greedily,
    same_class_iou,
)
from tests.detector.matching import match_in_a_loop
from tests.detector.scenes import LABELS, labeled_detections, random_detections

# A coarse grid, so that equal boxes, equal overlaps and equal scores are common.
CORNERS = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 3), st.integers(1, 3)).map(
    lambda v: (v[0] * 10.0, v[1] * 10.0, (v[0] + v[2]) * 10.0, (v[1] + v[3]) * 10.0)
)
ANSWERS = st.lists(st.tuples(CORNERS, st.integers(1, 2), st.sampled_from([0.1, 0.5, 0.9])), max_size=8)
TRUE = st.lists(st.tuples(CORNERS, st.integers(1, 2)), max_size=5)
HERE, NEAR, NEARER, FAR = (0, 0, 10, 10), (0, 0, 10, 8), (0, 0, 10, 9), (50, 50, 60, 60)


def matched(answers, true, iou=0.5):
    overlap = same_class_iou(
        as_boxes([row[0] for row in answers]),
        torch.tensor([row[1] for row in answers], dtype=torch.int64),
        as_boxes([row[0] for row in true]),
        torch.tensor([row[1] for row in true], dtype=torch.int64),
    )
    return match_boxes(overlap, torch.tensor([row[2] for row in answers]), iou).tolist()


# One image


@pytest.mark.parametrize(
    ("answers", "true", "expected"),
    [
        ([], [], []),
        ([], [(HERE, 1)], []),
        ([(HERE, 1, 0.9)], [], [-1]),
        ([(HERE, 1, 0.9)], [(HERE, 1)], [0]),
        ([(HERE, 2, 0.9)], [(HERE, 1)], [-1]),
        ([(FAR, 1, 0.9)], [(HERE, 1)], [-1]),
        ([(HERE, 1, 0.5), (NEAR, 1, 0.9)], [(HERE, 1)], [-1, 0]),
        ([(HERE, 1, 0.5), (HERE, 1, 0.5)], [(HERE, 1)], [0, -1]),
        ([(HERE, 1, 0.5), (FAR, 1, 0.9)], [(FAR, 1), (HERE, 1)], [1, 0]),
        ([(HERE, 1, 0.9)], [(NEAR, 1), (NEARER, 1)], [1]),
        ([(HERE, 1, 0.9), (HERE, 1, 0.5)], [(NEAR, 1), (NEARER, 1)], [1, 0]),
        ([(HERE, 1, 0.9)], [(HERE, 1), (HERE, 1)], [1]),
    ],
    ids=[
        "nothing", "nothing answered", "nothing there", "right", "another class", "elsewhere", "the surer one is right",
        "of equals the first is right", "each its own", "the best of two", "the second takes what is free",
        "of equal true boxes the last, as COCO",
    ],
)  # fmt: skip
def test_the_rule_written_out(answers, true, expected):
    assert matched(answers, true) == expected


@pytest.mark.parametrize("answer", [(FAR, 1, 0.9), (HERE, 2, 0.9)])
def test_no_overlap_and_another_class_never_match_even_at_iou_0(answer):
    assert matched([answer], [(HERE, 1)], iou=0.0) == [-1]


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.6, 0.7, 0.9])
def test_an_overlap_of_exactly_the_threshold_is_enough(iou):
    """In float32 0.7 is less than 0.7."""
    part = (0.0, 0.0, 10.0, 10.0 * iou)
    assert matched([(part, 1, 0.9)], [(HERE, 1)], iou) == [0]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(ANSWERS, TRUE, st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
def test_match_boxes_equals_a_plain_loop(answers, true, iou):
    assert matched(answers, true, iou) == match_in_a_loop(answers, true, iou)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(ANSWERS, TRUE, st.sampled_from([0.3, 0.5, 0.6, 0.7, 0.9, 1.0]))
def test_match_boxes_matches_what_pycocotools_does(answers, true, iou):
    expected = [-1] * len(answers)
    for evaluated in reference([(true, [], [(corners, score, label) for corners, label, score in answers])], [iou]):
        for detection, truth in zip(evaluated["dtIds"], evaluated["dtMatches"][0], strict=True):
            expected[detection - 1] = int(truth) - 1
    assert matched(answers, true, iou) == expected


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.integers(0, 6), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_many_thresholds_are_matched_as_one_by_one(rows, columns, seed):
    overlap = np.random.default_rng(seed).integers(0, 5, (rows, columns)) / 4
    together = match_greedily(overlap, IOUS)
    assert together.shape == (len(IOUS), rows)
    for threshold, row in zip(IOUS, together, strict=True):
        assert match_greedily(overlap, np.array([threshold])).tolist() == [row.tolist()]
        used = row[row >= 0].tolist()
        assert len(used) == len(set(used)), "no true box is taken twice"


# Many images


def reference(images, ious):
    """What pycocotools matched, one dict per image and class; ids of boxes begin at 1, in the order of the images."""
    truth, results = [], []
    for number, (boxes, regions, answers) in enumerate(images, 1):
        marked = [(corners, label, 0) for corners, label in boxes]
        marked += [(corners, label, 1) for corners in regions for label in range(1, len(LABELS) + 1)]
        truth += [entry(number, corners, label, iscrowd=crowd) for corners, label, crowd in marked]
        results += [entry(number, corners, label, float(np.float32(score))) for corners, score, label in answers]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(indexed(truth, len(images)), indexed(results, len(images)), "bbox")
        evaluation.params.iouThrs = np.array(ious)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST_PER_CLASS]
        evaluation.evaluate()
    return [evaluated for evaluated in evaluation.evalImgs if evaluated is not None]


def entry(image, corners, category, score=1.0, iscrowd=0):
    x1, y1, x2, y2 = map(float, corners)
    return {"image_id": image, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
            "category_id": category, "score": score, "iscrowd": iscrowd}  # fmt: skip


def indexed(entries, images):
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in range(1, images + 1)],
        "categories": [{"id": number} for number in range(1, len(LABELS) + 1)],
        "annotations": [{**values, "id": number} for number, values in enumerate(entries, 1)],
    }
    coco.createIndex()
    return coco


def images_of(detections):
    """Back to `(true boxes, ignore regions, detections)` of each image, and the row of each detection."""
    images = []
    for number in range(len(detections.image_ids)):
        true, own = detections.true_image == number, detections.image == number
        answers = zip(detections.boxes[own].tolist(), detections.scores[own], detections.classes[own], strict=True)
        images.append(
            (
                list(zip(detections.true_boxes[true].tolist(), detections.true_classes[true].tolist(), strict=True)),
                detections.regions[detections.region_image == number].tolist(),
                [(corners, score, int(label)) for corners, score, label in answers],
            )
        )
    return images


@pytest.mark.parametrize("seed", range(10))
def test_detections_of_many_images_are_matched_as_pycocotools_does(seed):
    detections = random_detections(seed)
    right, ignored = (np.zeros((len(IOUS), len(detections.scores)), dtype=bool) for _ in range(2))
    for evaluated in reference(images_of(detections), IOUS):
        rows = np.array(evaluated["dtIds"], dtype=int) - 1
        ignored[:, rows] = evaluated["dtIgnore"]
        right[:, rows] = (np.array(evaluated["dtMatches"]) > 0) & ~ignored[:, rows]
    matches = match(detections)
    np.testing.assert_array_equal(matches.right, right[:, matches.rows])
    np.testing.assert_array_equal(matches.ignored, ignored[:, matches.rows])
    assert right.any()


def test_some_of_these_detections_lie_in_ignore_regions():
    assert sum(match(random_detections(seed)).ignored.any() for seed in range(10)) > 4


@pytest.mark.parametrize("seed", range(6))
def test_many_images_at_half_are_matched_as_each_by_itself(seed):
    """The rule of average precision is the rule of p(correct); ignore regions are average precision's alone."""
    detections = random_detections(seed)
    matches, expected = match(detections), np.zeros(len(detections.scores), dtype=bool)
    for number, (true, _, answers) in enumerate(images_of(detections)):
        answered = [(corners, label, score) for corners, score, label in answers]
        expected[detections.image == number] = [index >= 0 for index in matched(answered, true)]
    np.testing.assert_array_equal(matches.right[0], expected[matches.rows])


def test_the_surest_hundred_of_a_class_count_in_an_image():
    answers = [(HERE, 0.9 - 0.001 * rank, 1) for rank in range(120)] + [(FAR, 0.1, 2)]
    matches = match(labeled_detections(([(HERE, 1)], [], answers)))
    assert (matches.classes == 1).sum() == MOST_PER_CLASS
    assert (matches.classes == 2).sum() == 1
    assert (matches.scores[matches.classes == 1] > 0.9 - 0.001 * 100).all()


def test_what_is_not_there_matches_nothing():
    matches = match(labeled_detections())
    assert matches.right.shape == matches.ignored.shape == (len(IOUS), 0)
    assert matches.true_boxes.shape == (0, len(LABELS))
    assert match(labeled_detections(([(HERE, 1)], [], []))).found.tolist() == [[False]] * len(IOUS)
