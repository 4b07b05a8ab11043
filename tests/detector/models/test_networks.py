from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torchvision
from torchvision.models.detection import fasterrcnn_resnet50_fpn, fcos_resnet50_fpn, retinanet_resnet50_fpn
from torchvision.models.detection.image_list import ImageList

from pipeline.detector.models import networks
from pipeline.detector.models.detector import build_detector
from pipeline.detector.models.networks import BatchNormalize
from pipeline.errors import ArtefactError
from pipeline.settings import DetectorSettings
from tests.detector.small import ARCHITECTURES, detector, noise, training

OFFICIAL = {
    "retinanet": retinanet_resnet50_fpn,
    "fcos": fcos_resnet50_fpn,
    "faster_rcnn": fasterrcnn_resnet50_fpn,
}


def test_pixels_are_normalised_and_nothing_is_resized():
    transform = BatchNormalize(1, 1, [0.5, 0.25, 0.0], [0.5, 0.25, 1.0])
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 32, 64)
    pixels, targets = transform(images, [{"boxes": torch.zeros(0, 4)}] * 2)
    assert pixels.tensors.shape == (2, 3, 32, 64)
    assert pixels.tensors[0, :, 0, 0].tolist() == pytest.approx([-1.0, 3.0, 0.2])
    assert pixels.image_sizes == [(32, 64)] * 2
    assert len(targets) == 2
    found = [{"boxes": torch.ones(1, 4)}]
    assert transform.postprocess(found, [(32, 64)], [(64, 128)]) is found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_settings_reach_the_network(architecture):
    few = detector(architecture, score_floor=0.0, max_detections=7, nms_iou=1.0).eval()
    with torch.no_grad():
        (found,) = few(noise(1))
    assert len(found["boxes"]) == 7
    none = detector(architecture, score_floor=1.0).eval()
    with torch.no_grad():
        (found,) = none(noise(1))
    assert found["boxes"].shape == (0, 4)
    assert found["embeddings"].shape == (0, 8)


@pytest.mark.parametrize(("scale", "expected"), [(2.0, 16.0), (4.0, 32.0)])
@pytest.mark.parametrize("architecture", ["retinanet", "faster_rcnn"])
def test_the_smallest_anchor_is_so_many_strides_wide(architecture, scale, expected):
    model = detector(architecture, anchor_scale=scale).network
    generator = model.anchor_generator if architecture == "retinanet" else model.rpn.anchor_generator
    levels = [torch.zeros(1, 1, 64 // stride or 1, 64 // stride or 1) for stride in (8, 16, 32, 64, 128)]
    anchors = generator(ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)]), levels)[0]
    sides = (anchors[:, 2:] - anchors[:, :2]).prod(1).sqrt()
    assert sides.min().item() == pytest.approx(expected, rel=0.05)
    assert sides.max().item() >= expected * 16 * 0.95  # the same number of strides at the last level


@pytest.mark.parametrize("architecture", ["retinanet", "fcos"])
@pytest.mark.parametrize("convolutions", [1, 3])
def test_a_head_has_so_many_convolutions(architecture, convolutions):
    head = detector(architecture, head_convs=convolutions).network.head
    for part in (head.classification_head, head.regression_head):
        found = [module for module in part.conv.modules() if isinstance(module, torch.nn.Conv2d)]
        assert len(found) == convolutions


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_half_precision_ends_where_boxes_begin(architecture):
    """bfloat16 tells neighbours 2 pixels apart at 300; anchors, scores and coordinates are float32."""
    model = detector(architecture, image_size_px=320, score_floor=0.0, nms_iou=1.0, max_detections=1000).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (found,) = model(noise(1, size=320))
    assert found["boxes"].dtype == found["scores"].dtype == found["embeddings"].dtype == torch.float32
    inside = ((found["boxes"] > 1) & (found["boxes"] < 319)).all(1)
    corners = found["boxes"][inside]
    assert inside.sum() > 50
    assert (corners != corners.bfloat16().float()).float().mean() > 0.5
    assert (found["embeddings"].norm(dim=1) - 1).abs().max() < 1e-5


def official_weights(architecture, classes=91):
    """A randomly initialised model of torchvision's, as its COCO weights would build it."""
    torch.manual_seed(0)
    model = OFFICIAL[architecture](weights=None, weights_backbone=None, num_classes=classes)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):  # statistics that matter, and some that are nearly nothing
            tensor.uniform_(1e-5, 1e-4) if "layer1.0.bn1" in name else tensor.uniform_(0.5, 1.5)
    return model


@pytest.fixture
def offered(monkeypatch):
    """Puts weights in the place of torchvision's download."""

    def put(weights):
        known = SimpleNamespace(DEFAULT=SimpleNamespace(get_state_dict=lambda **_: weights))
        monkeypatch.setattr(networks, "get_model_weights", lambda _: known)

    return put


def coco(architecture):
    return DetectorSettings(
        architecture=architecture, backbone="torchvision:resnet50", weights="coco", head_convs=4, image_size_px=64
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_coco_weights_give_torchvisions_model(architecture, offered):
    """With COCO's 90 classes nothing is left out; what the heads say is what torchvision's model says."""
    official = official_weights(architecture)
    offered(official.state_dict())
    model = build_detector(coco(architecture), [f"class {index}" for index in range(90)], training())
    assert all(torch.equal(model.network.state_dict()[name], value) for name, value in official.state_dict().items()
               if "num_batches_tracked" not in name)  # fmt: skip
    frozen = torchvision.ops.misc.FrozenBatchNorm2d
    eps = {module.eps for module in model.modules() if isinstance(module, frozen)}
    assert eps == {1e-5 if architecture == "fcos" else 0.0}  # as torchvision's own builders set it
    for module in official.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = eps.copy().pop()
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    said = []
    with torch.no_grad():
        for network in (model.network.train(), official.eval()):  # ours keeps background to itself in evaluation
            features = network.backbone(pixels)
            head = network.rpn.head if architecture == "faster_rcnn" else network.head
            answers = head(list(features.values()))
            said.append([*answers.values()] if isinstance(answers, dict) else [*answers[0], *answers[1]])
    for mine, theirs in zip(*said, strict=True):
        assert theirs.isfinite().all()
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_other_classes_take_all_but_the_class_layers(architecture, offered):
    weights = official_weights(architecture).state_dict()
    offered(weights)
    model = build_detector(coco(architecture), ["bolt", "nut"], training())
    mine = model.network.state_dict()
    left = {name for name in mine if not torch.equal(mine[name], weights[name])
            if mine[name].shape == weights[name].shape} | {
        name for name in mine if mine[name].shape != weights[name].shape
    }  # fmt: skip
    expected = {
        "retinanet": {"head.classification_head.cls_logits"},
        "fcos": {"head.classification_head.cls_logits"},
        "faster_rcnn": {"roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred"},
    }[architecture]
    assert {name.rpartition(".")[0] for name in left} == expected


def test_coco_weights_that_do_not_fit_are_refused(offered):
    weights = official_weights("retinanet").state_dict()
    del weights["backbone.fpn.inner_blocks.0.0.weight"]
    offered(weights)
    with pytest.raises(ArtefactError, match=r"all but the class layers, found none for \['backbone.fpn.inner_blocks"):
        build_detector(coco("retinanet"), ["bolt"], training())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_coco_weights_are_read_from_torchs_folder(architecture, tmp_path, monkeypatch):
    """Where the file lies from an earlier download, or was put by hand, nothing is downloaded."""
    names = {
        "retinanet": "retinanet_resnet50_fpn_coco-eeacb38b.pth",
        "fcos": "fcos_resnet50_fpn_coco-99b0c9b7.pth",
        "faster_rcnn": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    }
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, *_, **__: pytest.fail(f"downloads {url}"))
    path = tmp_path / "hub" / "checkpoints" / names[architecture]
    path.parent.mkdir(parents=True)
    weights = official_weights(architecture).state_dict()
    torch.save(weights, path)
    model = build_detector(coco(architecture), ["bolt", "nut"], training())
    path.unlink()  # 150 MB
    for name, tensor in model.network.state_dict().items():
        if "cls" not in name and "predictor" not in name:
            assert torch.equal(tensor, weights[name]), name
