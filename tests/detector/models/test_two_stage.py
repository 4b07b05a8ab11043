from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from pipeline.boxes import as_boxes
from pipeline.detector.models.two_stage import IgnoringRPN, WeightedRoIHeads
from tests.detector.small import LEFT, RIGHT, TARGETS, detector, network, noise, target, training


def test_both_stages_begin_with_the_weights_of_torchvisions_for_the_same_seed():
    anchors = detector("faster_rcnn").network.rpn.anchor_generator
    torch.manual_seed(5)
    ours = IgnoringRPN(anchors, 16, 1000), WeightedRoIHeads(["0"], 16, 3, network("faster_rcnn"), training())
    torch.manual_seed(5)
    head, mlp, predictor = RPNHead(16, 3), TwoMLPHead(16 * 7**2, 1024), FastRCNNPredictor(1024, 3)
    for mine, theirs in ((ours[0].head, head), (ours[1].box_head, mlp), (ours[1].box_predictor, predictor)):
        assert mine.state_dict().keys() == theirs.state_dict().keys()
        assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in mine.state_dict().items())


@pytest.mark.parametrize("given", [*TARGETS.values()])
def test_faster_rcnn_costs_what_torchvision_says(monkeypatch, given):
    model = detector("faster_rcnn", settings=training())
    images, targets = noise(2), [given, TARGETS["two"]]
    torch.manual_seed(0)
    mine = model(images, targets)
    monkeypatch.setattr(WeightedRoIHeads, "forward", RoIHeads.forward)
    monkeypatch.setattr(IgnoringRPN, "assign_targets_to_anchors", RegionProposalNetwork.assign_targets_to_anchors)
    monkeypatch.setattr(IgnoringRPN, "compute_loss", RegionProposalNetwork.compute_loss)
    torch.manual_seed(0)
    expected = model(images, targets)
    names = {"classification": "loss_classifier", "box": "loss_box_reg"}
    assert {names.get(key, key): value.item() for key, value in mine.items()} == pytest.approx(
        {key: value.item() for key, value in expected.items()}, rel=1e-5, abs=1e-7
    )


def test_an_ignore_region_takes_background_from_the_proposal_network():
    model = detector("faster_rcnn")
    rpn = model.network.rpn
    anchors = [as_boxes([LEFT, (0, 40, 20, 60), (44, 0, 60, 20)])]
    given = target([LEFT], [1], ignore=[(0, 40, 20, 60)])
    labels, matched = rpn.assign_targets_to_anchors(anchors, [given])
    assert labels[0].tolist() == [1, -1, 0]
    assert torch.equal(matched[0][0], given["boxes"][0])


def test_the_proposal_network_passes_over_objects_of_no_weight():
    rpn = detector("faster_rcnn").network.rpn
    given = target([LEFT, RIGHT], [1, 2], [0.0, 0.1])
    labels, _ = rpn.assign_targets_to_anchors([as_boxes([LEFT, RIGHT, (44, 0, 60, 20)])], [given])
    assert labels[0].tolist() == [-1, 1, 0]


def test_second_stage_sees_no_background_in_ignore_regions():
    model = detector("faster_rcnn")
    heads, seen = model.network.roi_heads, {}
    original = heads.select_training_samples
    heads.select_training_samples = lambda proposals, targets: (
        seen.setdefault("proposals", proposals),
        original(proposals, targets),
    )[1]
    proposals = as_boxes([LEFT, (9, 9, 29, 31), (0, 40, 20, 60), (44, 0, 60, 20)])
    features = model.network.backbone(torch.zeros(1, 3, 64, 64))
    given = target([LEFT], [1], ignore=[(0, 0, 30, 64)])
    heads(features, [proposals], [(64, 64)], [given])
    assert seen["proposals"][0].tolist() == [list(LEFT), [9, 9, 29, 31], [44, 0, 60, 20]]


def test_a_proposal_network_with_nothing_to_learn_costs_nothing():
    rpn = detector("faster_rcnn").network.rpn
    objectness, deltas = torch.randn(6, 1, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    losses = rpn.compute_loss(objectness, deltas, [-torch.ones(6)], [torch.zeros(6, 4)])
    sum(losses).backward()
    assert [loss.item() for loss in losses] == [0, 0]
    assert objectness.grad is not None
    assert not objectness.grad.any()


@pytest.mark.parametrize("stages", [1, 3])
def test_a_light_second_stage_has_fewer_weights_and_looks_at_fewer_proposals(stages):
    light = detector("faster_rcnn", box_stages=stages, roi_features=32, roi_proposals=10)
    heavy = detector("faster_rcnn", box_stages=stages)
    assert sum(map(torch.numel, light.parameters())) < sum(map(torch.numel, heavy.parameters()))
    assert looked_at(light.eval(), stages) == [10] * stages
    assert looked_at(heavy.eval(), stages)[0] > 10


def looked_at(model, stages):
    """How many proposals of one image each stage classifies."""
    heads, counts = model.network.roi_heads, []
    for predictor in (heads.box_predictor, *(heads.later_predictors if stages > 1 else ())):
        predictor.register_forward_hook(lambda module, given, answer: counts.append(len(answer[0])))
    with torch.no_grad():
        model(noise(1))
    return counts


@pytest.mark.parametrize(
    ("proposals", "training", "testing", "learnt"),
    [(10, (60, 40), (30, 10), 20), (200, (1200, 800), (600, 200), 400), (1000, (2000, 2000), (1000, 1000), 512)],
)
def test_a_light_second_stage_is_given_fewer_proposals(proposals, training, testing, learnt):
    model = detector("faster_rcnn", roi_proposals=proposals).network.train()
    assert (model.rpn.pre_nms_top_n(), model.rpn.post_nms_top_n()) == training
    model.eval()
    assert (model.rpn.pre_nms_top_n(), model.rpn.post_nms_top_n()) == testing
    assert model.roi_heads.fg_bg_sampler.batch_size_per_image == learnt
