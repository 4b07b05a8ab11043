from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.fcos import FCOS, FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

from pipeline.boxes import as_boxes
from pipeline.detector.models.heads import (
    IgnoringRPN,
    WeightedFCOSHead,
    WeightedRetinaNetHead,
    WeightedRoIHeads,
    anchor_targets,
    in_ignore_region,
)
from pipeline.detector.models.losses import sigmoid_loss
from pipeline.settings import TripletSettings
from tests.detector.small import ARCHITECTURES, detector, noise, target, training

ONE, TWO = (8.0, 8.0, 28.0, 30.0), (34.0, 30.0, 60.0, 58.0)
EVERYWHERE = (0.0, 0.0, 64.0, 64.0)


@pytest.mark.parametrize(
    ("boxes", "ignore", "expected"),
    [
        ([], [], []),
        ([], [EVERYWHERE], []),
        ([(0, 0, 10, 10)], [], [False]),
        ([(0, 0, 10, 10)], [(20, 20, 30, 30)], [False]),
        ([(0, 0, 10, 10)], [(0, 0, 5, 10)], [False]),
        ([(0, 0, 10, 10)], [(0, 0, 6, 10)], [True]),
        ([(0, 0, 10, 10)], [(20, 20, 30, 30), (0, 0, 10, 10)], [True]),
        ([(0, 0, 10, 10)], [(0, 0, 4, 10), (6, 0, 10, 10)], [False]),
    ],
)
def test_in_ignore_region(boxes, ignore, expected):
    assert in_ignore_region(as_boxes(boxes), as_boxes(ignore)).tolist() == expected


ANCHORS = as_boxes([(0, 0, 10, 10), (20, 20, 30, 30), (40, 40, 50, 50), (60, 60, 70, 70)])


@pytest.mark.parametrize(
    ("given", "matches", "labels", "weights"),
    [
        (target(), [-1, -1, -1, -1], [0, 0, 0, 0], [1, 1, 1, 1]),
        (target(ignore=[(0, 0, 10, 10)]), [-1, -1, -1, -1], [-1, 0, 0, 0], [1, 1, 1, 1]),
        (target([ONE, TWO], [2, 1], [0.5, 1.0]), [1, 0, -2, -1], [1, 2, -1, 0], [1.0, 0.5, 1, 1]),
        (target([ONE], [2], ignore=[EVERYWHERE]), [0, -1, -2, -1], [2, -1, -1, 0], [1, 1, 1, 1]),
    ],
)
def test_anchor_targets(given, matches, labels, weights):
    expected = anchor_targets([given], [ANCHORS], [torch.tensor(matches)])
    assert expected.labels.tolist() == [labels]
    assert expected.weights.tolist() == [weights]
    for index, match in enumerate(matches):
        if match >= 0:
            assert torch.equal(expected.boxes[0, index], given["boxes"][match])


class Said:
    """What a one-stage head says about some images, random enough to cost something.

    Attributes:
        outputs: By name, each to take a gradient.
        anchors: A tensor an image.
        matches: Of the last call of `cost`, a tensor an image.
    """

    def __init__(self, model, images):
        self.network = model.network
        pixels, _ = self.network.transform(images)
        features = list(self.network.backbone(pixels.tensors).values())
        generator = torch.Generator().manual_seed(5)
        self.outputs = {
            name: torch.randn(value.shape, generator=generator).requires_grad_()
            for name, value in self.network.head(features).items()
        }
        self.anchors = self.network.anchor_generator(pixels, features)
        self.per_level = [one.shape[-2] * one.shape[-1] for one in features]
        self.network.head.compute_loss = self._watch

    def _watch(self, targets, outputs, anchors, matches):
        self.matches = matches
        return type(self.network.head).compute_loss(self.network.head, targets, outputs, anchors, matches)

    def cost(self, targets, which=slice(None)):
        outputs = {name: value[which] for name, value in self.outputs.items()}
        per_level = [self.per_level] if isinstance(self.network, FCOS) else []
        return self.network.compute_loss(targets, outputs, self.anchors[which], *per_level)


ONE_STAGE = [("retinanet", WeightedRetinaNetHead, RetinaNetHead), ("fcos", WeightedFCOSHead, FCOSHead)]
TARGETS = {
    "nothing": target(),
    "one": target([ONE], [1]),
    "two": target([ONE, TWO], [2, 1]),
    "overlapping": target([ONE, (10, 8, 30, 30), TWO], [2, 1, 1]),
}


@pytest.mark.parametrize(("architecture", "ours", "theirs"), ONE_STAGE)
@pytest.mark.parametrize("name", TARGETS)
def test_one_image_costs_what_torchvision_says(monkeypatch, architecture, ours, theirs, name):
    said = Said(detector(architecture), noise())
    mine = said.cost([TARGETS[name]])
    monkeypatch.setattr(ours, "compute_loss", theirs.compute_loss)
    expected = said.cost([TARGETS[name]])
    names = {"classification": "classification", "box": "bbox_regression", "centerness": "bbox_ctrness"}
    assert {names[key]: value.item() for key, value in mine.items()} == pytest.approx(
        {key: value.item() for key, value in expected.items()}, rel=1e-5, abs=1e-7
    )
    assert mine["classification"].item() > 0


def test_a_batch_of_fcos_costs_what_torchvision_says(monkeypatch):
    said = Said(detector("fcos"), noise(4))
    mine = said.cost(list(TARGETS.values()))
    monkeypatch.setattr(WeightedFCOSHead, "compute_loss", FCOSHead.compute_loss)
    expected = said.cost(list(TARGETS.values()))
    assert [one.item() for one in mine.values()] == pytest.approx([one.item() for one in expected.values()], rel=1e-5)


def test_a_batch_of_retinanet_is_divided_by_all_its_objects(monkeypatch):
    """torchvision divides image by image; multiplied out again and divided once, the same is left."""
    said, targets = Said(detector("retinanet"), noise(4)), list(TARGETS.values())
    mine = said.cost(targets)
    objects = [int((matches >= 0).sum()) for matches in said.matches]
    monkeypatch.setattr(WeightedRetinaNetHead, "compute_loss", RetinaNetHead.compute_loss)
    sums = torch.zeros(2)
    for index, count in enumerate(objects):
        losses = said.cost([targets[index]], slice(index, index + 1))
        sums += torch.stack([losses["classification"], losses["bbox_regression"]]).detach() * max(1, count)
    expected = (sums / sum(objects)).tolist()
    assert objects[0] == 0
    assert [mine["classification"].item(), mine["box"].item()] == pytest.approx(expected, rel=1e-4)


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


def gradients(model, images, targets):
    model.zero_grad()
    torch.manual_seed(0)
    sum(model(images, targets).values()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_a_box_of_no_weight_says_has_no_influence(architecture):
    model = detector(architecture, settings=training(triplet=TripletSettings(), label_smoothing=0.1))
    images = noise(2)

    def learnt(label, weight):
        boxes = [ONE, TWO, (4, 40, 24, 60)]
        return gradients(model, images, [target(boxes, [1, 2, label], [1.0, 1.0, weight]), target([ONE, TWO], [1, 2])])

    one, other = learnt(1, 0.0), learnt(2, 0.0)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    weighed = learnt(1, 1.0), learnt(2, 1.0)
    assert any(not torch.equal(weighed[0][name], weighed[1][name]) for name in weighed[0])


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
def test_anchors_of_a_box_of_no_weight_cost_nothing(architecture):
    said = Said(detector(architecture), noise())
    sum(said.cost([target([ONE, TWO], [1, 2], [0.0, 1.0])]).values()).backward()
    weightless, counting = said.matches[0] == 0, said.matches[0] == 1
    assert weightless.any()
    assert counting.any()
    for value in said.outputs.values():
        assert value.grad is not None
        assert not value.grad[0, weightless].any()
        assert value.grad[0, counting].any()


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
def test_a_box_counts_by_its_weight(architecture):
    said = Said(detector(architecture), noise())

    def box_loss(*weights):
        return said.cost([target([ONE, TWO], [1, 2], weights)])["box"].item()

    first, second = box_loss(1.0, 0.0), box_loss(0.0, 1.0)
    anchors = [int((said.matches[0] == index).sum()) for index in (0, 1)]
    for weight in (1.0, 0.5, 0.25):
        shares = weight * anchors[0], anchors[1]
        expected = (shares[0] * first + shares[1] * second) / sum(shares)
        assert box_loss(weight, 1.0) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
def test_an_ignore_region_takes_away_exactly_the_background_in_it(architecture):
    said, region = Said(detector(architecture), noise()), (0.0, 0.0, 40.0, 64.0)
    before = said.cost([target([ONE, TWO], [1, 2])])
    after = said.cost([target([ONE, TWO], [1, 2], ignore=[region])])
    background = (said.matches[0] == -1) & in_ignore_region(said.anchors[0], as_boxes([region]))
    logits = said.outputs["cls_logits"][0, background]
    rows = len(logits)
    labels = torch.zeros(rows, dtype=torch.int64)
    lost = sigmoid_loss(logits, torch.zeros_like(logits), labels, torch.ones(rows), training())
    objects = int((said.matches[0] >= 0).sum())
    assert background.any()
    assert (before["classification"] - after["classification"]).item() == pytest.approx(lost.item() / objects, rel=1e-3)
    for name in before.keys() - {"classification"}:
        assert after[name].item() == before[name].item()


def test_an_ignore_region_takes_background_from_the_proposal_network():
    model = detector("faster_rcnn")
    rpn = model.network.rpn
    anchors = [as_boxes([ONE, (0, 40, 20, 60), (44, 0, 60, 20)])]
    given = target([ONE], [1], ignore=[(0, 40, 20, 60)])
    labels, matched = rpn.assign_targets_to_anchors(anchors, [given])
    assert labels[0].tolist() == [1, -1, 0]
    assert torch.equal(matched[0][0], given["boxes"][0])


def test_the_proposal_network_passes_over_objects_of_no_weight():
    rpn = detector("faster_rcnn").network.rpn
    given = target([ONE, TWO], [1, 2], [0.0, 0.1])
    labels, _ = rpn.assign_targets_to_anchors([as_boxes([ONE, TWO, (44, 0, 60, 20)])], [given])
    assert labels[0].tolist() == [-1, 1, 0]


def test_second_stage_sees_no_background_in_ignore_regions():
    model = detector("faster_rcnn")
    heads, seen = model.network.roi_heads, {}
    original = heads.select_training_samples
    heads.select_training_samples = lambda proposals, targets: (
        seen.setdefault("proposals", proposals),
        original(proposals, targets),
    )[1]
    proposals = as_boxes([ONE, (9, 9, 29, 31), (0, 40, 20, 60), (44, 0, 60, 20)])
    features = model.network.backbone(torch.zeros(1, 3, 64, 64))
    given = target([ONE], [1], ignore=[(0, 0, 30, 64)])
    heads(features, [proposals], [(64, 64)], [given])
    assert seen["proposals"][0].tolist() == [list(ONE), [9, 9, 29, 31], [44, 0, 60, 20]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "targets",
    [
        pytest.param([target()], id="one empty image"),
        pytest.param([target(), target()], id="only empty images"),
        pytest.param([target(), target([ONE, TWO], [1, 2])], id="an empty image among others"),
        pytest.param([target([ONE, TWO], [1, 1])] * 2, id="one class"),
        pytest.param([target(ignore=[EVERYWHERE])], id="an image to ignore"),
        pytest.param([target([ONE], [1], [0.0])], id="one box of no weight"),
        pytest.param([target([ONE], [1], ignore=[EVERYWHERE]), target(ignore=[EVERYWHERE])], id="one object to learn"),
    ],
)
def test_whatever_a_batch_lacks_it_can_be_learnt_from(architecture, targets):
    model = detector(architecture, settings=training(triplet=TripletSettings(), label_smoothing=0.1))
    losses = model(noise(len(targets)), targets)
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_single_class(architecture):
    model = detector(architecture, labels=["bolt"], settings=training(triplet=TripletSettings(), label_smoothing=0.1))
    losses = model(noise(2), [target([ONE], [1]), target()])
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses["triplet"].item() == 0


def test_a_proposal_network_with_nothing_to_learn_costs_nothing():
    rpn = detector("faster_rcnn").network.rpn
    objectness, deltas = torch.randn(6, 1, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    losses = rpn.compute_loss(objectness, deltas, [-torch.ones(6)], [torch.zeros(6, 4)])
    sum(losses).backward()
    assert [loss.item() for loss in losses] == [0, 0]
    assert objectness.grad is not None
    assert not objectness.grad.any()
