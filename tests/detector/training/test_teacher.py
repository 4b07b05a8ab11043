from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.boxes import as_boxes
from pipeline.detector.training.teacher import build_teacher, with_teacher_labels
from pipeline.settings import TeacherSettings
from tests.detector.small import target


# After n updates (1 + n) / (10 + n) of the average stays: 2/11, 3/12, 4/13, ... as long as that is under the decay.
@pytest.mark.parametrize(
    ("decay", "weights", "expected"),
    [
        (0.99, [], 7.0),
        (0.99, [1.0], 1.0),
        (0.99, [1.0, 2.0], 1.0 * 2 / 11 + 2.0 * 9 / 11),
        (0.99, [1.0, 2.0, 4.0], (2 / 11 + 18 / 11) * 3 / 12 + 4.0 * 9 / 12),
        (0.2, [1.0, 2.0, 4.0], (2 / 11 + 18 / 11) * 0.2 + 4.0 * 0.8),
        (0.1, [1.0, 2.0, 4.0], (0.1 + 1.8) * 0.1 + 4.0 * 0.9),
        (0.0, [1.0, 2.0, 4.0], 4.0),
    ],
)
def test_the_average_written_out(decay, weights, expected):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 7.0)
    teacher = build_teacher(model, decay)
    for weight in weights:
        nn.init.constant_(model.weight, weight)
        teacher.update_parameters(model)
    assert teacher.module.weight.item() == pytest.approx(expected)


def test_a_long_run_forgets_at_the_pace_that_was_set():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    teacher = build_teacher(model, 0.9)
    for _ in range(200):
        teacher.update_parameters(model)
    nn.init.constant_(model.weight, 1.0)
    for _ in range(10):
        teacher.update_parameters(model)
    assert teacher.module.weight.item() == pytest.approx(1 - 0.9**10, rel=1e-4)


def test_the_average_goes_on_from_a_checkpoint():
    model = nn.Linear(3, 2)
    one, other = build_teacher(model, 0.9), build_teacher(nn.Linear(3, 2), 0.9)
    for _ in range(3):
        nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(0))
        one.update_parameters(model)
    other.load_state_dict(one.state_dict())
    nn.init.ones_(model.weight)
    for teacher in (one, other):
        teacher.update_parameters(model)
    assert torch.equal(one.module.weight, other.module.weight)


HERE, NEAR, THERE = (0, 0, 10, 10), (1, 1, 11, 11), (30, 30, 40, 40)


def found(*rows):
    boxes, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    return {
        "boxes": as_boxes(boxes),
        "scores": torch.tensor(scores, dtype=torch.float32),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


@pytest.mark.parametrize(
    ("known", "seen", "boxes", "weights", "regions"),
    [
        (target(), found(), 0, [], 0),
        (target([HERE]), found(), 1, [1.0], 0),
        (target(), found((HERE, 0.2, 1)), 0, [], 0),
        (target(), found((HERE, 0.5, 1)), 0, [], 1),
        (target(), found(((5, 5, 5, 9), 0.95, 1), ((5, 5, 9, 5.5), 0.5, 1)), 0, [], 0),  # no area
        (target(), found((HERE, 0.95, 2)), 1, [0.95], 0),
        (target([HERE], [1], [0.7]), found((NEAR, 0.95, 1)), 1, [0.7], 0),
        (target([HERE], [1], [0.7]), found((NEAR, 0.95, 2)), 1, [0.7], 0),  # another class at a certified place
        (target([HERE], [1], [0.7]), found((NEAR, 0.5, 1), (THERE, 0.5, 1)), 1, [0.7], 1),
        (target([HERE]), found((THERE, 0.92, 1)), 2, [1.0, 0.92], 0),
        (target(ignore=[(28, 28, 42, 42)]), found((THERE, 0.95, 1)), 0, [], 1),  # it was known to be unsure
    ],
)
def test_a_second_look_written_out(known, seen, boxes, weights, regions):
    settings = TeacherSettings(enabled=True, ignore_score=0.3, box_score=0.9)
    looked = with_teacher_labels(known, seen, settings)
    assert len(looked["boxes"]) == len(looked["labels"]) == boxes
    assert looked["weights"].tolist() == pytest.approx(weights)
    assert len(looked["ignore"]) == regions


def test_no_score_makes_a_box_unless_that_is_set():
    looked = with_teacher_labels(target(), found((HERE, 1.0, 1)), TeacherSettings(enabled=True))
    assert len(looked["boxes"]) == 0
    assert looked["ignore"].tolist() == [list(map(float, HERE))]


def test_what_is_seen_of_the_boxes_of_a_teacher_is_not_known():
    known = {**target([HERE]), "visible": as_boxes([NEAR])}
    looked = with_teacher_labels(known, found((THERE, 0.95, 1)), TeacherSettings(enabled=True, box_score=0.9))
    assert looked["visible"][0].tolist() == list(map(float, NEAR))
    assert looked["visible"][1].isnan().all()


def test_boxes_of_a_teacher_have_no_masks():
    known = {**target([HERE]), "frames": torch.ones(1, 6), "rasters": torch.ones(1, 4, 4, dtype=torch.uint8)}
    looked = with_teacher_labels(known, found((THERE, 0.95, 1)), TeacherSettings(enabled=True, box_score=0.9))
    assert looked["frames"].isnan().all(1).tolist() == [False, True]
    assert looked["rasters"].dtype == torch.uint8
    assert looked["rasters"].sum((1, 2)).tolist() == [16, 0]
    assert with_teacher_labels(known, found(), TeacherSettings(enabled=True))["frames"].shape == (1, 6)
