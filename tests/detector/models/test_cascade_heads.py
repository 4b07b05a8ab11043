from __future__ import annotations

import pytest
import torch
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.detector.models.cascade_heads import STAGES, matched, refined
from pipeline.detector.models.saved import load_model, save_model
from pipeline.detector.models.two_stage import WeightedRoIHeads
from pipeline.detector.models.unused_settings import unused_settings
from pipeline.folder import Folder
from pipeline.settings import TripletSettings
from tests.detector.small import LEFT, RIGHT, TARGETS, card, detector, network, noise, target, training


def cascade(**values):
    return detector("faster_rcnn", box_stages=3, settings=training(**values))


@pytest.mark.parametrize("given", TARGETS.values(), ids=TARGETS)
def test_every_head_learns(given):
    torch.manual_seed(0)
    model = cascade(triplet=TripletSettings(background_negatives=2)).train()
    losses = model.losses(noise(2), [given, TARGETS["two"]])
    assert {"classification", "box"} <= losses.keys()
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    heads = model.network.roi_heads
    assert all(predictor.cls_score.weight.grad.any() for predictor in heads.predictors)
    assert len(heads.predictors) == len(STAGES)


def test_one_stage_of_it_costs_what_the_plain_head_costs(monkeypatch):
    monkeypatch.setattr("pipeline.detector.models.cascade_heads.STAGES", STAGES[:1])
    chained, plain = cascade().train(), detector("faster_rcnn", settings=training()).train()
    chained.load_state_dict(plain.state_dict(), strict=False)
    costs = []
    for model in (chained, plain):
        torch.manual_seed(0)
        costs.append({key: value.item() for key, value in model.losses(noise(1), [TARGETS["two"]]).items()})
    assert costs[0] == pytest.approx(costs[1], rel=1e-4)
    assert isinstance(chained.network.roi_heads, WeightedRoIHeads)


@pytest.mark.parametrize("stage", STAGES)
def test_a_head_that_is_right_places_boxes(stage):
    """Offsets that encode the object lead from any proposal to it, by the likeliest class alone."""
    proposals, objects = as_boxes([(10, 10, 30, 30), (35, 30, 60, 55)]), as_boxes([LEFT, RIGHT])
    offsets = torch.randn(2, 3, 4)
    offsets[[0, 1], [1, 2]] = stage.coder.encode_single(objects, proposals)
    logits = torch.tensor([[9.0, 1.0, 0.0], [9.0, 0.0, 1.0]])  # background is likelier, and has no box
    (boxes,) = refined(stage, logits, offsets.flatten(1), [proposals], [(64, 64)])
    torch.testing.assert_close(boxes, objects, rtol=0, atol=1e-3)


def test_later_stages_ask_for_more_overlap():
    near = as_boxes([(8, 8, 28, 30), (8, 8, 28, 23), (8, 8, 28, 20), (0, 40, 9, 60)])  # IoU 1, .68, .55, 0
    assert box_iou(near, as_boxes([LEFT])).flatten().tolist() == pytest.approx([1, 0.6818, 0.5455, 0], abs=1e-3)
    found = [matched([near], [target([LEFT], [2])], stage.iou)[1][0].tolist() for stage in STAGES]
    assert found == [[2, 2, 2, 0], [2, 2, 0, 0], [2, 0, 0, 0]]
    matches, labels = matched([near], [target()], 0.5)
    assert matches[0].tolist() == labels[0].tolist() == [0] * 4


def test_it_learns_where_objects_are():
    torch.manual_seed(0)
    model, objects = cascade(), target([LEFT, RIGHT], [1, 2])
    image = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8)
    for (x1, y1, x2, y2), color in ((LEFT, (220, 60, 40)), (RIGHT, (40, 90, 220))):
        image[0, :, int(y1) : int(y2), int(x1) : int(x2)] = torch.tensor(color, dtype=torch.uint8)[:, None, None]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    model.train()
    for _ in range(40):
        optimizer.zero_grad()
        sum(model.losses(image, [objects]).values()).backward()
        optimizer.step()
    (found,) = model.eval()(image)
    best = box_iou(objects["boxes"], found["boxes"][:10]).amax(1)
    assert best.min() > 0.7
    assert (found["scores"].diff() <= 0).all()


def test_it_comes_back_from_disk(tmp_path):
    model, models = cascade().eval(), Folder(tmp_path)
    saved = save_model(models, model, card("faster_rcnn", detector=network("faster_rcnn", box_stages=3)))
    for one, other in zip(model(noise(1)), load_model(models, saved)(noise(1)), strict=True):
        assert torch.equal(one["scores"], other["scores"])


def test_one_stage_detectors_say_that_they_have_none():
    assert any("detector.box_stages" in line for line in unused_settings(network(box_stages=3), training()))
    assert not any("box_stages" in line for line in unused_settings(network("faster_rcnn", box_stages=3), training()))
