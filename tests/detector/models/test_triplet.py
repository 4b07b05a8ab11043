from __future__ import annotations

import math

import pytest
import torch

from pipeline.detector.models.triplet import sample_boxes, triplet_loss
from pipeline.settings import TripletSettings

MINING = ["batch_hard", "batch_all", "semi_hard"]
A1, A2, B1, B2 = (1.0, 0.0), (0.6, 0.8), (0.0, 1.0), (-1.0, 0.0)
# A1-A2 .8944, A1-B1 1.4142, A1-B2 2, A2-B1 .6325, A2-B2 1.7889, B1-B2 1.4142
FROM_A2 = math.sqrt(0.8) - math.sqrt(0.4)  # A2's own lies .8944 away, the nearest other .6325
FROM_B1 = math.sqrt(2) - math.sqrt(0.4)
A1_SPARES, B2_SPARES = math.sqrt(2) - math.sqrt(0.8), math.sqrt(3.2) - math.sqrt(2)


@pytest.mark.parametrize(
    ("mining", "margin", "expected"),
    [
        # A1 and B2 are far enough from the others, A2 and B1 cost something.
        ("batch_hard", 0.3, (FROM_A2 + 0.3 + FROM_B1 + 0.3) / 2),
        # (A2, A1, B1), (B1, B2, A2) and (B1, B2, A1), whose two distances are equal.
        ("batch_all", 0.3, (FROM_A2 + 0.3 + FROM_B1 + 0.3 + 0.3) / 3),
        ("batch_hard", 0.0, (FROM_A2 + FROM_B1) / 2),
        # No negative is farther than a positive by less than the margin, but for (B1, B2, A1), whose two are equal.
        ("semi_hard", 0.3, 0.0),
        # (A1, A2, B1), (B2, B1, A1) and (B2, B1, A2), farther by .5198, .5858 and .3747.
        ("semi_hard", 0.6, 0.6 - (A1_SPARES + B2_SPARES + 2 - math.sqrt(2)) / 3),
    ],
)
def test_triplet_loss_written_out(mining, margin, expected):
    embeddings, labels = torch.tensor([A1, A2, B1, B2]), torch.tensor([1, 1, 2, 2])
    loss = triplet_loss(embeddings, labels, TripletSettings(mining=mining, margin=margin))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def triplets_in_a_loop(embeddings, labels, margin, mining):
    distance, losses = torch.cdist(embeddings, embeddings).tolist(), []
    for a, label in enumerate(labels):
        if label < 0:
            continue
        own = [distance[a][p] for p, other in enumerate(labels) if other == label and p != a]
        others = [distance[a][n] for n, other in enumerate(labels) if other != label]
        if own and others and mining == "batch_hard":
            own, others = [max(own)], [min(others)]
        losses += [p - n + margin for p in own for n in others if mining != "semi_hard" or n > p]
    positive = [loss for loss in losses if loss > 0]
    return sum(positive) / len(positive) if positive else 0.0


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("seed", range(5))
def test_triplet_loss_equals_a_plain_loop(mining, seed):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.nn.functional.normalize(torch.randn(12, 5, generator=generator))
    labels = torch.randint(1, 4, (12,), generator=generator)
    labels[10:] = torch.tensor([-1, -2])  # background
    loss = triplet_loss(embeddings, labels, TripletSettings(mining=mining, margin=0.4))
    assert loss.item() == pytest.approx(triplets_in_a_loop(embeddings, labels.tolist(), 0.4, mining), rel=1e-4)


@pytest.mark.parametrize("mining", MINING)
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


@pytest.mark.parametrize("mining", MINING)
def test_background_is_pushed_away_and_drawn_to_nothing(mining):
    """Two boxes of one class and two of background: the only negatives, and no pair of their own."""
    embeddings = torch.nn.functional.normalize(torch.randn(4, 6, generator=torch.Generator().manual_seed(2)))
    apart = embeddings.clone().requires_grad_()
    triplet_loss(apart, torch.tensor([1, 1, -1, -2]), TripletSettings(mining=mining, margin=2.0)).backward()
    assert apart.grad.abs().sum(1).gt(0)[:2].all()
    none = embeddings.clone().requires_grad_()
    triplet_loss(none, torch.tensor([1, 2, -1, -2]), TripletSettings(mining=mining, margin=2.0)).backward()
    assert not none.grad.any()


@pytest.mark.parametrize(
    ("labels", "classes", "boxes", "expected"),
    [
        ([], 2, 2, {}),
        ([1, 1, 1, 2, 2, 3], 0, 0, {1: 3, 2: 2, 3: 1}),
        ([1, 1, 1, 2, 2, 3], 0, 2, {1: 2, 2: 2, 3: 1}),
        ([1, 1, 1, 2, 2, 2], 1, 2, None),
        ([1, 1, 1, 2, 2, 2], 5, 5, {1: 3, 2: 3}),
    ],
)
def test_p_classes_and_k_boxes_of_each(labels, classes, boxes, expected):
    torch.manual_seed(0)
    labels = torch.tensor(labels, dtype=torch.int64)
    chosen = sample_boxes(labels, TripletSettings(classes=classes, boxes_per_class=boxes))
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    counts = {int(one): int((labels[chosen] == one).sum()) for one in labels[chosen].unique()}
    if expected is None:
        assert list(counts.values()) == [2]
    else:
        assert counts == expected


def test_every_box_has_its_turn():
    torch.manual_seed(0)
    labels, settings = torch.tensor([1] * 6 + [2] * 2), TripletSettings(boxes_per_class=2)
    seen = torch.cat([sample_boxes(labels, settings) for _ in range(60)]).bincount(minlength=8)
    assert seen[6:].tolist() == [60, 60]
    assert seen[:6].min() > 10
