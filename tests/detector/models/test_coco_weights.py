from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torchvision
from torchvision.models.detection import (
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_resnet50_fpn,
    fcos_resnet50_fpn,
    retinanet_resnet50_fpn,
)

from pipeline.detector.models import coco_weights
from pipeline.detector.models.detector import build_detector
from pipeline.errors import ArtefactError
from pipeline.settings import DetectorSettings
from tests.detector.small import training

OFFICIAL = {
    "retinanet": retinanet_resnet50_fpn,
    "fcos": fcos_resnet50_fpn,
    "faster_rcnn": fasterrcnn_resnet50_fpn,
    "small": fasterrcnn_mobilenet_v3_large_320_fpn,
}


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
        monkeypatch.setattr(coco_weights, "get_model_weights", lambda _: known)

    return put


def coco(architecture):
    small = architecture == "small"
    return DetectorSettings(
        architecture="faster_rcnn" if small else architecture,
        backbone="torchvision:mobilenet_v3_large" if small else "torchvision:resnet50",
        weights="coco",
        head_convs=4,
        anchors_per_place=9,
        head_norm="none",
        head_shared=False,
        image_size_px=64,
    )


@pytest.mark.parametrize("architecture", OFFICIAL)
def test_coco_weights_give_torchvisions_model(architecture, offered):
    """With COCO's 90 classes nothing is left out; what the heads say is what torchvision's model says."""
    official = official_weights(architecture)
    offered(official.state_dict())
    model = build_detector(coco(architecture), [f"class {index}" for index in range(90)], training())
    assert all(torch.equal(model.network.state_dict()[name], value) for name, value in official.state_dict().items()
               if "num_batches_tracked" not in name)  # fmt: skip
    frozen = torchvision.ops.misc.FrozenBatchNorm2d
    eps = {module.eps for module in model.modules() if isinstance(module, frozen)}
    assert eps == {1e-5 if architecture in {"fcos", "small"} else 0.0}  # as torchvision's own builders set it
    for module in official.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = eps.copy().pop()
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    said = []
    with torch.no_grad():
        for network in (model.network.train(), official.eval()):  # ours keeps background to itself in evaluation
            features = network.backbone(pixels)
            head = network.rpn.head if architecture in {"faster_rcnn", "small"} else network.head
            answers = head(list(features.values()))
            said.append([*answers.values()] if isinstance(answers, dict) else [*answers[0], *answers[1]])
    for mine, theirs in zip(*said, strict=True):
        assert theirs.isfinite().all()
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("architecture", OFFICIAL)
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
        "small": {"roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred"},
    }[architecture]
    assert {name.rpartition(".")[0] for name in left} == expected


def test_coco_weights_that_do_not_fit_are_refused(offered):
    weights = official_weights("retinanet").state_dict()
    del weights["backbone.fpn.inner_blocks.0.0.weight"]
    offered(weights)
    with pytest.raises(ArtefactError, match=r"all but the class layers, found none for \['backbone.fpn.inner_blocks"):
        build_detector(coco("retinanet"), ["bolt"], training())


@pytest.mark.parametrize("architecture", OFFICIAL)
def test_coco_weights_are_read_from_torchs_folder(architecture, tmp_path, monkeypatch):
    """Where the file lies from an earlier download, or was put by hand, nothing is downloaded."""
    names = {
        "retinanet": "retinanet_resnet50_fpn_coco-eeacb38b.pth",
        "fcos": "fcos_resnet50_fpn_coco-99b0c9b7.pth",
        "faster_rcnn": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        "small": "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
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
