from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import box_iou, generalized_box_iou_loss

from pipeline.detector.models.assign import Assignment
from pipeline.detector.models.losses import quality_focal_loss
from pipeline.detector.models.retinanet_head import WeightedRetinaNetHead
from tests.detector.small import LEFT, RIGHT, detector, network, target, training

ANCHORS = torch.tensor([(8.0, 8.0, 30.0, 30.0), (30.0, 30.0, 60.0, 60.0), (0.0, 0.0, 8.0, 8.0)])


def head(values=None, **shape) -> WeightedRetinaNetHead:
    torch.manual_seed(0)
    return WeightedRetinaNetHead(16, 3, network(**shape), training(**(values or {})))


@pytest.mark.parametrize("convs", [1, 2, 4])
def test_plain_towers_are_named_as_torchvisions(convs):
    expected = RetinaNetHead(16, 9, 3).state_dict()
    mine = head(head_convs=convs).state_dict()
    assert {name: tensor.shape for name, tensor in mine.items()} == {
        name: expected[name].shape for name in expected if ".conv." not in name or int(name.split(".")[2]) < convs
    }


@pytest.mark.parametrize("norm", ["none", "group"])
@pytest.mark.parametrize(("shared", "towers"), [(False, 2), (True, 1)])
def test_a_shared_tower_is_computed_once(norm, shared, towers):
    made = head(head_convs=2, head_norm=norm, head_shared=shared, anchors_per_place=1)
    convolutions = [module for module in made.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 2 * towers + 2
    assert any(isinstance(module, nn.GroupNorm) for module in made.modules()) == (norm == "group")
    answers = made([torch.randn(2, 16, side, side) for side in (4, 2)])
    assert answers["cls_logits"].shape == (2, 20, 3)
    assert answers["bbox_regression"].shape == (2, 20, 4)


@pytest.mark.parametrize("norm", ["none", "group"])
def test_what_comes_through_many_convolutions_is_not_faint(norm):
    made = head(head_convs=4, head_norm=norm, head_shared=True)
    passed = made.shared(torch.randn(1, 16, 16, 16))
    assert 0.2 < passed.std().item() < 2


def cost(values, quality, offsets):
    made = head(values, anchors_per_place=1)
    logits = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(1))
    outputs = {"cls_logits": logits, "bbox_regression": offsets}
    assigned = [Assignment(torch.tensor([0, 1, -1]), torch.tensor([*quality, 0.0]))]
    objects = target([LEFT, RIGHT], [1, 2], [1.0, 0.5])
    return made.assigned_loss([objects], outputs, [ANCHORS], assigned), logits[0]


def test_quality_focal_loss_asks_for_the_quality_and_weighs_boxes_by_it():
    values = {"classification": "quality_focal", "box_loss": "giou", "box_weight": 2.0}
    losses, logits = cost(values, (0.8, 0.6), torch.zeros(1, 3, 4))
    wanted = torch.tensor([[0, 0.8, 0], [0, 0, 0.6], [0, 0, 0]])
    rows = quality_focal_loss(logits, wanted, training().focal.gamma).sum(1) * torch.tensor([1.0, 0.5, 1.0])
    weights = torch.tensor([0.8, 0.5 * 0.6])
    boxes = generalized_box_iou_loss(ANCHORS[:2], torch.tensor([LEFT, RIGHT]), reduction="none")
    assert losses["classification"].item() == pytest.approx(rows.sum().item() / weights.sum().clamp(min=1).item())
    assert losses["box"].item() == pytest.approx(2 * (boxes * weights).sum().item() / 1.1)


@pytest.mark.parametrize("kind", ["giou", "diou", "ciou"])
def test_a_box_that_lies_right_costs_nothing(kind):
    coder = head().regression_head.box_coder
    right = coder.encode_single(torch.tensor([LEFT, RIGHT, LEFT]), ANCHORS)[None]
    losses, _ = cost({"box_loss": kind}, (1.0, 1.0), right)
    assert losses["box"].item() == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("assigner", ["iou", "atss", "task_aligned"])
@pytest.mark.parametrize("anchors", [1, 9])
def test_every_assigner_can_be_learnt_from(assigner, anchors):
    settings = training(assigner=assigner, classification="quality_focal", box_loss="giou")
    model = detector(settings=settings, anchors_per_place=anchors)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    losses = model(images, [target([LEFT, RIGHT], [1, 2]), target()])
    sum(losses.values()).backward()
    assert losses["box"].item() > 0
    weight = model.network.head.regression_head.bbox_reg.weight
    assert weight.grad.abs().sum() > 0


def test_one_anchor_per_place_covers_objects_of_every_size():
    model = detector(anchors_per_place=1, anchor_scale=2.0)
    generator = model.network.anchor_generator
    assert generator.num_anchors_per_location() == [1] * 5
    sides = [(cell[0, 2] - cell[0, 0]).item() for cell in generator.cell_anchors]
    assert sides == [16, 32, 64, 128, 256]
    assert box_iou(generator.cell_anchors[0], generator.cell_anchors[1]).item() == 0.25
