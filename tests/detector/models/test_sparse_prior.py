from __future__ import annotations

import math

import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.models.sparse_prior import SCORE, entropy, sparse_prior
from pipeline.detector.models.unused_settings import unused_settings
from pipeline.settings.losses import BottleneckSettings
from tests.detector.small import LEFT, RIGHT, detector, network, noise, target, training

BOXES = as_boxes([(0, 0, 10, 10), (0, 1, 10, 11), (20, 0, 30, 10), (40, 0, 50, 10)])
"""The second is suppressed by the first."""


def prior(scores, targets, counts=None):
    """Of one image and one class, whose scores are `scores`."""
    column = torch.as_tensor(scores)
    columns = torch.stack([torch.full_like(column, 0.9), column], -1)[None]
    counting = torch.ones(1, len(column), dtype=torch.bool) if counts is None else torch.tensor([counts])
    return sparse_prior(columns, counting, targets, lambda _, which: BOXES[which])


def written_out(scores):
    return -sum(score / sum(scores) * math.log(score / sum(scores)) for score in scores)


@pytest.mark.parametrize(
    ("objects", "scores", "counts", "expected"),
    [
        (0, [0.8, 0.7, 0.4, 0.2], None, 0.0),
        (1, [0.8, 0.7, 0.4, 0.2], None, written_out([0.8, 0.4, 0.2])),
        (2, [0.8, 0.7, 0.4, 0.2], None, written_out([0.8, 0.4, 0.2]) / 2),
        (3, [0.8, 0.7, 0.4, 0.2], None, 0.0),  # no more than there are
        (1, [0.8, 0.7, 0.4, SCORE / 2], None, written_out([0.8, 0.4])),
        (1, [0.8, 0.7, 0.4, 0.2], [True, True, True, False], written_out([0.8, 0.4])),  # in an ignore region
        (1, [0.01, 0.01, 0.01, 0.01], None, 0.0),
    ],
)
def test_it_is_an_entropy_per_object(objects, scores, counts, expected):
    assert prior(scores, [target([LEFT] * objects)], counts).item() == pytest.approx(expected, abs=1e-6)


def test_classes_and_images_are_averaged():
    scores = torch.tensor([[[0.9, 0.8, 0.1], [0.9, 0.0, 0.0], [0.9, 0.4, 0.1], [0.9, 0.0, 0.1]]]).expand(2, 4, 3)
    counts = torch.ones(2, 4, dtype=torch.bool)
    targets = [target([LEFT, RIGHT], [1, 2]), target([LEFT], [2])]
    loss = sparse_prior(scores, counts, targets, lambda _, which: BOXES[which])
    assert loss.item() == pytest.approx((written_out([0.8, 0.4]) + 2 * math.log(3)) / 3, rel=1e-5)


def test_the_unlikely_lose_and_the_likeliest_gains():
    scores = torch.tensor([0.8, 0.0, 0.3, 0.1], requires_grad=True)
    prior(scores, [target([LEFT])]).backward()
    assert scores.grad[0] < 0  # descent raises it
    assert scores.grad[1] == 0
    assert scores.grad[3] > 0


@pytest.mark.parametrize(("scores", "expected"), [([0.5], 0.0), ([0.1] * 4, math.log(4)), ([0.2] * 4, math.log(4))])
def test_entropy_of_equals(scores, expected):
    assert entropy(torch.tensor(scores)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
def test_detectors_learn_by_it(architecture):
    torch.manual_seed(0)
    on = training(bottleneck=BottleneckSettings(enabled=True, weight=0.5))
    model, images, targets = detector(architecture, settings=on).train(), noise(2), [target([LEFT], [1]), target()]
    assert model.losses(images, targets)["bottleneck"].item() == 0  # no score is high enough yet
    torch.nn.init.zeros_(model.network.head.classification_head.cls_logits.bias)
    loss = model.losses(images, targets)["bottleneck"]
    loss.backward()
    assert loss.item() > 0
    assert model.network.head.classification_head.cls_logits.weight.grad.abs().sum() > 0
    assert "bottleneck" not in detector(architecture).train().losses(images, targets)


def test_two_stages_say_that_they_have_none():
    on = training(bottleneck=BottleneckSettings(enabled=True))
    assert any("training.bottleneck" in line for line in unused_settings(network("faster_rcnn"), on))
    assert not any("training.bottleneck" in line for line in unused_settings(network("fcos"), on))
