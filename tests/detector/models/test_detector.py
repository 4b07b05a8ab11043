from __future__ import annotations

import copy

import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.detector.models.detector import BoxEmbedder, Detector, build_detector
from pipeline.detector.models.triplet import triplet_loss
from pipeline.settings import TripletSettings
from tests.detector.small import (
    ARCHITECTURES,
    EVERYWHERE,
    LABELS,
    LEFT,
    RIGHT,
    detector,
    differing,
    network,
    noise,
    target,
    training,
    weights_of,
)

BOXES = [(4.0, 4.0, 24.0, 30.0), (30.0, 8.0, 60.0, 40.0), (10.0, 36.0, 30.0, 60.0), (34.0, 42.0, 50.0, 62.0)]


def pyramid(count=1):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(count, 16, side, side, generator=generator) for name, side in
            (("0", 8), ("1", 4), ("2", 2), ("p6", 1), ("p7", 1))}  # fmt: skip


def test_a_box_embedding_is_a_unit_vector_of_what_lies_under_the_box():
    embedder, features = BoxEmbedder(16, 8), pyramid(2)
    none = embedder(features, [as_boxes([]), as_boxes([])], (64, 64))
    assert none.shape == (0, 8)
    vectors = embedder(features, [as_boxes(BOXES), as_boxes(BOXES[:1])], (64, 64))
    assert vectors.shape == (5, 8)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1.0] * 5)
    alone = embedder({name: level[1:] for name, level in features.items()}, [as_boxes(BOXES[:1])], (64, 64))
    torch.testing.assert_close(vectors[4:], alone)
    assert not torch.allclose(vectors[0], vectors[4])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_detections_have_the_form_that_is_promised(architecture):
    model = detector(architecture, score_floor=0.0, max_detections=20).eval()
    with torch.no_grad():
        found = model(noise(3))
    assert len(found) == 3
    for one in found:
        count = len(one["boxes"])
        assert count > 0
        assert {name: tuple(value.shape) for name, value in one.items()} == {
            "boxes": (count, 4),
            "scores": (count,),
            "labels": (count,),
            "embeddings": (count, 8),
        }
        assert (one["scores"].diff() <= 0).all()
        assert set(one["labels"].tolist()) <= {1, 2}
        assert ((one["boxes"] >= 0) & (one["boxes"] <= 64)).all()
        assert one["embeddings"].norm(dim=1).tolist() == pytest.approx([1.0] * count, abs=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_background_is_never_found(architecture):
    """Column 0 of a one-stage head is never taught; here it is the surest of all."""
    model = detector(architecture, score_floor=0.0).eval()
    network = model.network
    layer = (
        network.roi_heads.box_predictor.cls_score
        if architecture == "faster_rcnn"
        else network.head.classification_head.cls_logits
    )
    with torch.no_grad():
        layer.bias.view(-1, 3)[:, 0] = 9.0
        (found,) = model(noise(1))
    assert 0 not in found["labels"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_losses_have_names_and_no_features_are_kept(architecture):
    expected = {
        "retinanet": {"classification", "box"},
        "fcos": {"classification", "box", "centerness"},
        "faster_rcnn": {"classification", "box", "loss_objectness", "loss_rpn_box_reg"},
    }[architecture]
    given = [target(BOXES[:2], [1, 2])]
    assert detector(architecture)(noise(1), given).keys() == expected
    model = detector(architecture, settings=training(triplet=TripletSettings()))
    assert model(noise(1), given).keys() == expected | {"triplet"}
    assert model._features == {}
    model.eval()(noise(1))
    assert model._features == {}


def test_the_triplet_loss_is_that_of_the_boxes_that_count():
    settings = TripletSettings(weight=0.5, margin=1.0)
    model = detector(settings=training(triplet=settings))
    images = noise(1)
    losses = model(images, [target(BOXES, [1, 1, 2, 2], [1.0, 0.5, 0.1, 0.0])])
    pixels, _ = model.network.transform(images)
    features = model.network.backbone(pixels.tensors)
    vectors = model.embedder(features, [as_boxes(BOXES[:3])], (64, 64))
    expected = 0.5 * triplet_loss(vectors, torch.tensor([1, 1, 2]), settings)
    assert losses["triplet"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert losses["triplet"].item() > 0


def test_the_same_seed_draws_the_same_layers_and_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, again, other = (weights_of(build_detector(network(), LABELS, training(), seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert differing(one, again) == []
    assert "network.head.classification_head.cls_logits.weight" in differing(one, other)
    assert "embedder.project.0.weight" in differing(one, other)


def test_a_copy_keeps_its_features_to_itself():
    """An average of the weights is a copy; its hook must not write into the model that it was copied from."""
    model = detector(score_floor=0.0).eval()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
        expected = [one["embeddings"] for one in twin(noise(1))]
        model(noise(1, seed=3))
        again = [one["embeddings"] for one in twin(noise(1))]
    assert all(torch.equal(one, other) for one, other in zip(expected, again, strict=True))
    assert twin._features == model._features == {}


def test_the_body_is_what_was_pretrained():
    model = detector()
    assert model.body is model.network.backbone.body
    learnt = {name.split(".")[0] for name, _ in model.network.backbone.named_parameters()}
    assert learnt == {"body", "fpn"}


def test_how_it_learns_is_no_part_of_what_it_finds():
    plain = detector(score_floor=0.0)
    other = Detector(plain.settings, LABELS, training(label_smoothing=0.2, frozen_stages=3), pretrained=False)
    other.load_state_dict(plain.state_dict())
    with torch.no_grad():
        one, two = plain.eval()(noise(1))[0], other.eval()(noise(1))[0]
    assert all(torch.equal(one[name], two[name]) for name in one)


# Learning


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
        boxes = [LEFT, RIGHT, (4, 40, 24, 60)]
        weighed = target(boxes, [1, 2, label], [1.0, 1.0, weight])
        return gradients(model, images, [weighed, target([LEFT, RIGHT], [1, 2])])

    one, other = learnt(1, 0.0), learnt(2, 0.0)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    weighed = learnt(1, 1.0), learnt(2, 1.0)
    assert any(not torch.equal(weighed[0][name], weighed[1][name]) for name in weighed[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "targets",
    [
        pytest.param([target()], id="one empty image"),
        pytest.param([target(), target()], id="only empty images"),
        pytest.param([target(), target([LEFT, RIGHT], [1, 2])], id="an empty image among others"),
        pytest.param([target([LEFT, RIGHT], [1, 1])] * 2, id="one class"),
        pytest.param([target(ignore=[EVERYWHERE])], id="an image to ignore"),
        pytest.param([target([LEFT], [1], [0.0])], id="one box of no weight"),
        pytest.param([target([LEFT], [1], ignore=[EVERYWHERE]), target(ignore=[EVERYWHERE])], id="one object to learn"),
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
    losses = model(noise(2), [target([LEFT], [1]), target()])
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses["triplet"].item() == 0


@pytest.mark.parametrize("backbone", ["hrnet_w18_small", "legacy_xception", "dla46_c"])
def test_backbones_whose_stages_have_odd_names_learn_and_detect(backbone):
    settings = training(frozen_stages=2, triplet=TripletSettings())
    model = detector(backbone=backbone, settings=settings, score_floor=0.0)
    sum(model(noise(1), [target([LEFT, RIGHT], [1, 2])]).values()).backward()
    learns = [bool(p.grad.any()) for p in model.body.parameters() if p.grad is not None]
    assert any(learns)
    assert not all(p.requires_grad for p in model.body.parameters())
    with torch.no_grad():
        assert len(model.eval()(noise(1))[0]["boxes"]) > 0
