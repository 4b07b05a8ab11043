from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.fcos import FCOS, FCOSHead
from torchvision.models.detection.retinanet import RetinaNet

from pipeline.boxes import as_boxes
from pipeline.detector.models.assign import Assignment
from pipeline.detector.models.losses import sigmoid_loss
from pipeline.detector.models.networks import WeightedRetinaNet
from pipeline.detector.models.one_stage import WeightedFCOSHead
from pipeline.detector.models.targets import in_ignore_region
from pipeline.settings import DetectorSettings
from tests.detector.small import LEFT, RIGHT, TARGETS, detector, noise, target, training


@pytest.mark.parametrize("convs", [1, 2, 4])
def test_the_head_of_fcos_begins_with_the_weights_of_torchvisions_for_the_same_seed(convs):
    torch.manual_seed(5)
    mine = WeightedFCOSHead(64, 3, DetectorSettings(head_convs=convs), training()).state_dict()
    drawn = torch.get_rng_state()
    torch.manual_seed(5)
    expected = FCOSHead(64, 1, 3, convs).state_dict()
    assert mine.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in mine.items())
    assert torch.equal(torch.get_rng_state(), drawn), "layers that are drawn next would differ"


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
        self._name = "compute_loss" if isinstance(self.network, FCOS) else "assigned_loss"
        setattr(self.network.head, self._name, self._watch)

    def _watch(self, targets, outputs, anchors, matches):
        self.matches = [one.index if isinstance(one, Assignment) else one for one in matches]
        return getattr(type(self.network.head), self._name)(self.network.head, targets, outputs, anchors, matches)

    def cost(self, targets, which=slice(None)):
        outputs = {name: value[which] for name, value in self.outputs.items()}
        per_level = [self.per_level] if isinstance(self.network, FCOS) else []
        return self.network.compute_loss(targets, outputs, self.anchors[which], *per_level)


ONE_STAGE = [("retinanet", WeightedRetinaNet, RetinaNet), ("fcos", WeightedFCOSHead, FCOSHead)]


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
    monkeypatch.setattr(WeightedRetinaNet, "compute_loss", RetinaNet.compute_loss)
    sums = torch.zeros(2)
    for index, count in enumerate(objects):
        losses = said.cost([targets[index]], slice(index, index + 1))
        sums += torch.stack([losses["classification"], losses["bbox_regression"]]).detach() * max(1, count)
    expected = (sums / sum(objects)).tolist()
    assert objects[0] == 0
    assert [mine["classification"].item(), mine["box"].item()] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
def test_anchors_of_a_box_of_no_weight_cost_nothing(architecture):
    said = Said(detector(architecture), noise())
    sum(said.cost([target([LEFT, RIGHT], [1, 2], [0.0, 1.0])]).values()).backward()
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
        return said.cost([target([LEFT, RIGHT], [1, 2], weights)])["box"].item()

    first, second = box_loss(1.0, 0.0), box_loss(0.0, 1.0)
    anchors = [int((said.matches[0] == index).sum()) for index in (0, 1)]
    for weight in (1.0, 0.5, 0.25):
        shares = weight * anchors[0], anchors[1]
        expected = (shares[0] * first + shares[1] * second) / sum(shares)
        assert box_loss(weight, 1.0) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
def test_an_ignore_region_takes_away_exactly_the_background_in_it(architecture):
    said, region = Said(detector(architecture), noise()), (0.0, 0.0, 40.0, 64.0)
    before = said.cost([target([LEFT, RIGHT], [1, 2])])
    after = said.cost([target([LEFT, RIGHT], [1, 2], ignore=[region])])
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
