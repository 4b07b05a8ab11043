from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from pipeline.boxes import as_boxes
from pipeline.detector.models.losses import (
    hardest,
    sigmoid_loss,
    smooth_one_hot,
    softmax_loss,
    weighted_iou,
    weighted_l1,
)
from pipeline.settings import FocalSettings, OhemSettings
from pipeline.settings.losses import Classification
from tests.detector.small import training

LN2 = math.log(2)


@pytest.mark.parametrize(
    ("labels", "classes", "smoothing", "expected"),
    [
        ([], 3, 0.1, []),
        ([0, 1, 2], 3, 0.0, [[0, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ([0, 1, 2], 3, 0.2, [[0, 0, 0], [0, 0.8, 0.2], [0, 0.2, 0.8]]),
        ([2], 4, 0.2, [[0, 0.1, 0.8, 0.1]]),
        ([0, 1], 2, 0.2, [[0, 0], [0, 1]]),
    ],
)
def test_smooth_one_hot(labels, classes, smoothing, expected):
    targets = smooth_one_hot(torch.tensor(labels, dtype=torch.int64), classes, smoothing)
    assert targets.shape == (len(labels), classes)
    assert targets.tolist() == [pytest.approx(row) for row in expected]


def focal(**values):
    return training(focal=FocalSettings(**values))


def quality(**values):
    return training(classification="quality_focal", focal=FocalSettings(**values))


# p = 1/2 for a logit of 0; p = 3/4 for ln 3.
@pytest.mark.parametrize(
    ("settings", "logit", "target", "expected"),
    [
        (focal(alpha=0.25, gamma=2.0), 0.0, 1.0, 0.25 * 0.5**2 * LN2),
        (focal(alpha=0.25, gamma=2.0), 0.0, 0.0, 0.75 * 0.5**2 * LN2),
        (focal(alpha=0.25, gamma=2.0), math.log(3), 1.0, 0.25 * 0.25**2 * math.log(4 / 3)),
        (focal(alpha=0.25, gamma=2.0), math.log(3), 0.0, 0.75 * 0.75**2 * math.log(4)),
        (focal(alpha=0.9, gamma=2.0), math.log(3), 1.0, 0.9 * 0.25**2 * math.log(4 / 3)),
        (focal(alpha=0.25, gamma=1.0), math.log(3), 1.0, 0.25 * 0.25 * math.log(4 / 3)),
        (focal(alpha=0.25, gamma=0.0), math.log(3), 1.0, 0.25 * math.log(4 / 3)),
        (focal(alpha=0.0), 0.0, 1.0, 0.0),
        (quality(gamma=2.0), 0.0, 1.0, 0.5**2 * LN2),
        (quality(gamma=2.0), 0.0, 0.0, 0.5**2 * LN2),
        (quality(gamma=2.0), 0.0, 0.5, 0.0),  # the score is what it should be
        (quality(gamma=1.0), math.log(3), 0.25, 0.5 * (0.25 * math.log(4 / 3) + 0.75 * math.log(4))),
        (quality(alpha=0.9), math.log(3), 0.0, 0.75**2 * math.log(4)),  # has no alpha
        (training(classification="cross_entropy"), math.log(3), 1.0, math.log(4 / 3)),
        (training(classification="cross_entropy"), math.log(3), 0.0, math.log(4)),
        (training(classification="ohem"), math.log(3), 1.0, math.log(4 / 3)),
        (training(classification="ohem"), math.log(3), 0.0, math.log(4)),
    ],
)
def test_sigmoid_loss_written_out(settings, logit, target, expected):
    labels = torch.tensor([int(target > 0)])
    loss = sigmoid_loss(torch.tensor([[logit]]), torch.tensor([[target]]), labels, torch.ones(1), settings)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("classification", get_args(Classification))
def test_sigmoid_loss_of_no_rows_is_0_and_can_be_learnt_from(classification):
    logits, labels = torch.zeros(0, 3, requires_grad=True), torch.zeros(0, dtype=torch.int64)
    settings = training(classification=classification)
    loss = sigmoid_loss(logits, torch.zeros(0, 3), labels, torch.zeros(0), settings)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0), (0.9, 1.5)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_focal_loss_equals_torchvisions_and_a_plain_loop(alpha, gamma, smoothing):
    generator = torch.Generator().manual_seed(0)
    logits, weights = torch.randn(20, 4, generator=generator) * 3, torch.rand(20, generator=generator)
    labels = torch.randint(0, 4, (20,), generator=generator)
    targets = smooth_one_hot(labels, 4, smoothing)
    loop = 0.0
    for row, wanted, weight in zip(logits.tolist(), targets.tolist(), weights.tolist(), strict=True):
        for logit, t in zip(row, wanted, strict=True):
            p = 1 / (1 + math.exp(-logit))
            entropy = -t * math.log(p) - (1 - t) * math.log(1 - p)
            p_t = p * t + (1 - p) * (1 - t)
            loop += weight * (alpha * t + (1 - alpha) * (1 - t)) * (1 - p_t) ** gamma * entropy
    settings = focal(alpha=alpha, gamma=gamma)
    assert sigmoid_loss(logits, targets, labels, weights, settings).item() == pytest.approx(loop, rel=1e-4)
    torchvisions = sigmoid_focal_loss(logits, targets, alpha, gamma, reduction="sum").item()
    assert sigmoid_loss(logits, targets, labels, torch.ones(20), settings).item() == pytest.approx(torchvisions)


@pytest.mark.parametrize(
    ("losses", "labels", "ratio", "expected"),
    [
        ([], [], 3.0, []),
        ([1.0, 5.0, 2.0, 4.0, 3.0], [1, 0, 0, 0, 0], 3.0, [1.0, 5.0, 4.0, 3.0]),
        ([1.0, 5.0, 2.0, 4.0], [1, 2, 0, 0], 0.5, [1.0, 5.0, 4.0]),
        ([1.0, 5.0], [1, 0], 3.0, [1.0, 5.0]),  # less background than is allowed
        ([1.0, 5.0, 2.0], [0, 0, 0], 1.0, [5.0]),  # no object: as for one
        ([1.0, 5.0], [1, 2], 3.0, [1.0, 5.0]),
        ([0.0, 0.0, 7.0], [1, 0, 0], 1.0, [7.0]),  # an object of no weight takes no place from background
    ],
)
def test_objects_and_the_hardest_background_stay(losses, labels, ratio, expected):
    left = hardest(
        torch.tensor(losses), torch.tensor(labels, dtype=torch.int64), OhemSettings(negatives_per_object=ratio)
    )
    assert sorted(loss for loss in left.tolist() if loss) == sorted(expected)


@pytest.mark.parametrize("seed", range(5))
def test_ohem_equals_a_plain_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    logits, labels = torch.randn(40, 3, generator=generator), torch.zeros(40, dtype=torch.int64)
    labels[:4] = torch.tensor([1, 2, 1, 2])
    targets, weights = smooth_one_hot(labels, 3, 0.0), torch.rand(40, generator=generator)
    rows = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1) * weights
    loop = sum(rows[:4].tolist()) + sum(sorted(rows[4:].tolist(), reverse=True)[:12])
    loss = sigmoid_loss(logits.requires_grad_(), targets, labels, weights, training(classification="ohem"))
    loss.backward()
    assert loss.item() == pytest.approx(loop, rel=1e-5)
    assert int(logits.grad.abs().sum(1).gt(0).sum()) == 16  # 4 objects, 12 of background


# Softmax of (ln 3, 0) is (3/4, 1/4).
@pytest.mark.parametrize(
    ("labels", "weights", "smoothing", "expected"),
    [
        ([], [], 0.1, 0.0),
        ([0], [1.0], 0.0, math.log(4 / 3)),
        ([1], [1.0], 0.0, math.log(4)),
        ([1], [1.0], 0.2, 0.9 * math.log(4) + 0.1 * math.log(4 / 3)),
        ([0, 1], [1.0, 1.0], 0.0, (math.log(4 / 3) + math.log(4)) / 2),
        ([0, 1], [3.0, 1.0], 0.0, (3 * math.log(4 / 3) + math.log(4)) / 4),
        ([0, 1], [1.0, 0.0], 0.0, math.log(4 / 3)),
        ([1], [0.0], 0.0, 0.0),
        ([1], [0.5], 0.0, 0.5 * math.log(4)),
    ],
)
def test_softmax_loss_written_out(labels, weights, smoothing, expected):
    logits = torch.tensor([[math.log(3), 0.0]]).repeat(len(labels), 1)
    labels, settings = torch.tensor(labels, dtype=torch.int64), training(label_smoothing=smoothing)
    assert softmax_loss(logits, labels, torch.tensor(weights), settings).item() == pytest.approx(expected, rel=1e-5)


def test_ohem_leaves_the_softmax_classifier_its_hardest_background():
    logits = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    labels = torch.tensor([1, 0, 0, 0])
    settings = training(classification="ohem", ohem=OhemSettings(negatives_per_object=1.0))
    expected = (LN2 + math.log(1 + math.exp(3))) / 4
    assert softmax_loss(logits, labels, torch.ones(4), settings).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "weights", "expected"),
    [([], [], 0.0), ([(1, 2, 3, 4)], [1.0], 10.0), ([(1, -2, 3, -4), (1, 1, 1, 1)], [0.5, 2.0], 13.0)],
)
def test_weighted_l1_written_out(rows, weights, expected):
    predicted = as_boxes(rows)
    assert weighted_l1(predicted, torch.zeros_like(predicted), torch.tensor(weights)).item() == pytest.approx(expected)


# Side by side: IoU 0, hull full. A gap of 10 between two of 10: a third of the hull is empty. Half covered: IoU 1/2.
@pytest.mark.parametrize(
    ("first", "second", "weights", "expected"),
    [
        ([], [], [], 0.0),
        ([(0, 0, 10, 10)], [(0, 0, 10, 10)], [1.0], 0.0),
        ([(0, 0, 10, 10)], [(10, 0, 20, 10)], [1.0], 1.0),
        ([(0, 0, 10, 10)], [(20, 0, 30, 10)], [1.0], 4 / 3),
        ([(0, 0, 10, 10)] * 2, [(0, 0, 20, 10), (20, 0, 30, 10)], [1.0, 0.3], 0.5 + 0.4),
    ],
)
def test_weighted_giou_written_out(first, second, weights, expected):
    loss = weighted_iou("giou", as_boxes(first), as_boxes(second), torch.tensor(weights))
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


# Centres 10 apart in a hull of 20 x 10: 10^2 / (20^2 + 10^2) = 1/5. One of 20 x 10 and one of 10 x 10 in it, centres 5
# apart in that hull: 1/20, and IoU 1/2; their shapes differ by v = 4 / pi^2 (atan 2 - atan 1)^2.
SHAPES = 4 / math.pi**2 * (math.atan(2) - math.atan(1)) ** 2


@pytest.mark.parametrize(
    ("kind", "second", "expected"),
    [
        ("diou", (0, 0, 10, 10), 0.0),
        ("ciou", (0, 0, 10, 10), 0.0),
        ("diou", (10, 0, 20, 10), 1.2),
        ("ciou", (10, 0, 20, 10), 1.2),
        ("diou", (0, 0, 20, 10), 0.5 + 1 / 20),
        ("ciou", (0, 0, 20, 10), 0.5 + 1 / 20 + SHAPES**2 / (0.5 + SHAPES)),
    ],
)
def test_losses_by_distance_and_shape_written_out(kind, second, expected):
    loss = weighted_iou(kind, as_boxes([(0, 0, 10, 10)] * 2), as_boxes([second] * 2), torch.tensor([1.0, 0.5]))
    assert loss.item() == pytest.approx(1.5 * expected, rel=1e-5, abs=1e-6)
