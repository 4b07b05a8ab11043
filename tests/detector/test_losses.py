from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from pipeline.boxes import as_boxes
from pipeline.detector.losses import (
    focal_loss,
    smooth_one_hot,
    softmax_loss,
    triplet_loss,
    weighted_giou,
    weighted_l1,
)
from pipeline.settings import FocalSettings, TripletSettings

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


# p = 1/2 for a logit of 0; p = 3/4 for ln 3.
@pytest.mark.parametrize(
    ("settings", "logit", "target", "expected"),
    [
        (FocalSettings(alpha=0.25, gamma=2.0), 0.0, 1.0, 0.25 * 0.5**2 * LN2),
        (FocalSettings(alpha=0.25, gamma=2.0), 0.0, 0.0, 0.75 * 0.5**2 * LN2),
        (FocalSettings(alpha=0.25, gamma=2.0), math.log(3), 1.0, 0.25 * 0.25**2 * math.log(4 / 3)),
        (FocalSettings(alpha=0.25, gamma=2.0), math.log(3), 0.0, 0.75 * 0.75**2 * math.log(4)),
        (FocalSettings(alpha=0.9, gamma=2.0), math.log(3), 1.0, 0.9 * 0.25**2 * math.log(4 / 3)),
        (FocalSettings(alpha=0.25, gamma=1.0), math.log(3), 1.0, 0.25 * 0.25 * math.log(4 / 3)),
        (FocalSettings(alpha=0.25, gamma=0.0), math.log(3), 1.0, 0.25 * math.log(4 / 3)),
        (FocalSettings(alpha=0.0), 0.0, 1.0, 0.0),
        (FocalSettings(enabled=False, alpha=0.9, gamma=5.0), math.log(3), 1.0, math.log(4 / 3)),
        (FocalSettings(enabled=False), math.log(3), 0.0, math.log(4)),
    ],
)
def test_focal_loss_written_out(settings, logit, target, expected):
    loss = focal_loss(torch.tensor([[logit]]), torch.tensor([[target]]), torch.ones(1), settings)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_focal_loss_of_no_rows_is_0_and_can_be_learnt_from():
    logits = torch.zeros(0, 3, requires_grad=True)
    loss = focal_loss(logits, torch.zeros(0, 3), torch.zeros(0), FocalSettings())
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0), (0.9, 1.5)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_focal_loss_equals_torchvisions_and_a_plain_loop(alpha, gamma, smoothing):
    generator = torch.Generator().manual_seed(0)
    logits, weights = torch.randn(20, 4, generator=generator) * 3, torch.rand(20, generator=generator)
    targets = smooth_one_hot(torch.randint(0, 4, (20,), generator=generator), 4, smoothing)
    loop = 0.0
    for row, wanted, weight in zip(logits.tolist(), targets.tolist(), weights.tolist(), strict=True):
        for logit, t in zip(row, wanted, strict=True):
            p = 1 / (1 + math.exp(-logit))
            entropy = -t * math.log(p) - (1 - t) * math.log(1 - p)
            p_t = p * t + (1 - p) * (1 - t)
            loop += weight * (alpha * t + (1 - alpha) * (1 - t)) * (1 - p_t) ** gamma * entropy
    settings = FocalSettings(alpha=alpha, gamma=gamma)
    assert focal_loss(logits, targets, weights, settings).item() == pytest.approx(loop, rel=1e-4)
    torchvisions = sigmoid_focal_loss(logits, targets, alpha, gamma, reduction="sum")
    assert focal_loss(logits, targets, torch.ones(20), settings).item() == pytest.approx(torchvisions.item(), rel=1e-5)


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
    labels = torch.tensor(labels, dtype=torch.int64)
    assert softmax_loss(logits, labels, torch.tensor(weights), smoothing).item() == pytest.approx(expected, rel=1e-5)


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
    loss = weighted_giou(as_boxes(first), as_boxes(second), torch.tensor(weights))
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


A1, A2, B1, B2 = (1.0, 0.0), (0.6, 0.8), (0.0, 1.0), (-1.0, 0.0)
# A1-A2 .8944, A1-B1 1.4142, A1-B2 2, A2-B1 .6325, A2-B2 1.7889, B1-B2 1.4142
FROM_A2 = math.sqrt(0.8) - math.sqrt(0.4)  # A2's own lies .8944 away, the nearest other .6325
FROM_B1 = math.sqrt(2) - math.sqrt(0.4)


@pytest.mark.parametrize(
    ("mining", "margin", "expected"),
    [
        # A1 and B2 are far enough from the others, A2 and B1 cost something.
        ("batch_hard", 0.3, (FROM_A2 + 0.3 + FROM_B1 + 0.3) / 2),
        # (A2, A1, B1), (B1, B2, A2) and (B1, B2, A1), whose two distances are equal.
        ("batch_all", 0.3, (FROM_A2 + 0.3 + FROM_B1 + 0.3 + 0.3) / 3),
        ("batch_hard", 0.0, (FROM_A2 + FROM_B1) / 2),
    ],
)
def test_triplet_loss_written_out(mining, margin, expected):
    embeddings, labels = torch.tensor([A1, A2, B1, B2]), torch.tensor([1, 1, 2, 2])
    loss = triplet_loss(embeddings, labels, TripletSettings(mining=mining, margin=margin))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def triplets_in_a_loop(embeddings, labels, margin, mining):
    distance, losses = torch.cdist(embeddings, embeddings).tolist(), []
    for a, label in enumerate(labels):
        own = [distance[a][p] for p, other in enumerate(labels) if other == label and p != a]
        others = [distance[a][n] for n, other in enumerate(labels) if other != label]
        if own and others and mining == "batch_hard":
            own, others = [max(own)], [min(others)]
        losses += [p - n + margin for p in own for n in others]
    positive = [loss for loss in losses if loss > 0]
    return sum(positive) / len(positive) if positive else 0.0


@pytest.mark.parametrize("mining", ["batch_hard", "batch_all"])
@pytest.mark.parametrize("seed", range(5))
def test_triplet_loss_equals_a_plain_loop(mining, seed):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.nn.functional.normalize(torch.randn(12, 5, generator=generator))
    labels = torch.randint(1, 4, (12,), generator=generator)
    loss = triplet_loss(embeddings, labels, TripletSettings(mining=mining, margin=0.4))
    assert loss.item() == pytest.approx(triplets_in_a_loop(embeddings, labels.tolist(), 0.4, mining), rel=1e-4)


@pytest.mark.parametrize("mining", ["batch_hard", "batch_all"])
@pytest.mark.parametrize("labels", [[], [1], [1, 1, 1], [1, 2, 3]])
def test_no_triplet_costs_nothing_and_can_be_learnt_from(mining, labels):
    embeddings = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = triplet_loss(embeddings, torch.tensor(labels, dtype=torch.int64), TripletSettings(mining=mining))
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_triplet_loss_draws_a_class_together():
    embeddings = torch.randn(8, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    labels, settings = torch.tensor([1, 1, 1, 1, 2, 2, 2, 2]), TripletSettings(margin=1.0)
    first = triplet_loss(embeddings, labels, settings)
    optimizer = torch.optim.SGD([embeddings], lr=0.2)
    for _ in range(100):
        optimizer.zero_grad()
        triplet_loss(embeddings, labels, settings).backward()
        optimizer.step()
    assert triplet_loss(embeddings, labels, settings).item() < first.item() / 4
