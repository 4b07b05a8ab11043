from __future__ import annotations

import math

import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.models.repulsion import Predicted, repulsion_loss, smooth_ln
from pipeline.detector.models.unused_settings import unused_settings
from pipeline.settings import RepulsionSettings
from tests.detector.small import LEFT, RIGHT, detector, network, noise, target, training

CROWD = target([(0, 0, 10, 10), (6, 0, 16, 10), (40, 40, 50, 50)], [1, 1, 1])


def predicted(boxes, index, weights=None):
    of_boxes = torch.ones(len(boxes)) if weights is None else torch.tensor(weights)
    return Predicted(as_boxes(boxes).requires_grad_(), torch.tensor(index, dtype=torch.int64), of_boxes)


def overlap(a, b):
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    return max(0.0, width) * max(0.0, height)


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(a, b):
    return overlap(a, b) / (area(a) + area(b) - overlap(a, b))


def written_out(boxes, index, objects, settings):
    """Equations 4 to 6 of arXiv 1711.07752 for one image, in loops."""

    def ln(x, sigma):
        return -math.log(1 - x) if x <= sigma else (x - sigma) / (1 - sigma) - math.log(1 - sigma)

    costs = []
    for box, own in zip(boxes, index, strict=True):
        other = max((o for n, o in enumerate(objects) if n != own), key=lambda o: iou(box, o))
        costs.append(ln(overlap(box, other) / area(other), settings.sigma_objects))
    between = [iou(boxes[i], boxes[j]) for i in range(len(boxes)) for j in range(i) if index[i] != index[j]]
    touching = [value for value in between if value > 0]
    from_boxes = sum(ln(value, settings.sigma_boxes) for value in touching) / max(1, len(touching))
    return settings.objects * sum(costs) / len(costs) + settings.boxes * from_boxes


@pytest.mark.parametrize("settings", [RepulsionSettings(), RepulsionSettings(objects=0.3, boxes=2.0, sigma_boxes=0.5)])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_paper_says(settings, seed):
    generator = torch.Generator().manual_seed(seed)
    index = [0, 0, 1, 1, 2]
    moved = CROWD["boxes"][index] + torch.randint(-3, 4, (5, 4), generator=generator)
    loss = repulsion_loss([predicted(moved.tolist(), index)], [CROWD], settings)
    assert loss.item() == pytest.approx(written_out(moved.tolist(), index, CROWD["boxes"].tolist(), settings), rel=1e-4)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 0.9])
def test_the_tangent_goes_on_where_the_curve_ends(sigma):
    x = torch.tensor([max(sigma - 1e-3, 0.0), sigma + 1e-3], requires_grad=True)
    (slopes,) = torch.autograd.grad(smooth_ln(x, sigma).sum(), x)
    assert slopes[1].item() == pytest.approx(1 / (1 - sigma), rel=1e-4)
    if sigma:
        assert slopes[0].item() == pytest.approx(slopes[1].item(), rel=0.02)
    assert torch.isfinite(smooth_ln(torch.ones(1), sigma)).all()


def test_a_box_is_pushed_away_from_another_object():
    between = predicted([(4, 0, 14, 10)], [0])
    repulsion_loss([between], [CROWD], RepulsionSettings(boxes=0.0)).backward()
    assert between.boxes.grad[0, 2] > 0  # the right side moves left, off the second object


def test_unsure_objects_weigh_less():
    boxes, settings = [(2, 0, 12, 10), (41, 41, 50, 50)], RepulsionSettings(boxes=0.0)
    sure, unsure = (
        repulsion_loss([predicted(boxes, [0, 2], weights)], [CROWD], settings).item()
        for weights in ([1.0, 1.0], [0.1, 1.0])
    )
    assert 0 < unsure < sure


@pytest.mark.parametrize(
    ("boxes", "index", "objects"),
    [([], [], target()), ([], [], CROWD), ([LEFT, LEFT], [0, 0], target([LEFT])), ([(3, 3, 3, 3)] * 2, [0, 1], CROWD)],
)
def test_alone_nothing_is_repelled(boxes, index, objects):
    answer = predicted(boxes, index)
    loss = repulsion_loss([answer], [objects], RepulsionSettings())
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
@pytest.mark.parametrize("assigner", ["iou", "task_aligned"])
def test_detectors_learn_by_it(architecture, assigner):
    torch.manual_seed(0)
    on = training(repulsion=RepulsionSettings(enabled=True), assigner=assigner)
    model = detector(architecture, settings=on).train()
    losses = model.losses(noise(2), [target([LEFT, (10, 8, 30, 30), RIGHT], [1, 1, 2]), target()])
    assert torch.isfinite(losses["repulsion"])
    if architecture == "retinanet":  # FCOS begins with boxes of a pixel or two, which repel nothing yet
        assert losses["repulsion"].item() > 0
    losses["repulsion"].backward()
    assert any(p.grad is not None for p in model.network.head.parameters())
    assert "repulsion" not in detector(architecture).train().losses(noise(1), [target([LEFT], [1])])


def test_two_stages_say_that_they_have_none():
    on = training(repulsion=RepulsionSettings(enabled=True))
    assert any("training.repulsion" in line for line in unused_settings(network("faster_rcnn"), on))
    assert not any("training.repulsion" in line for line in unused_settings(network("retinanet"), on))
