"""Bodies of torchvision: ResNets and a MobileNet with pyramids of their own, and two light networks timm lacks."""

from __future__ import annotations

import re
from typing import Any

import torchvision
from torch import nn
from torchvision.models import get_model_weights, list_models
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from pipeline.detector.models.bodies.finishing import finish
from pipeline.detector.models.bodies.inputs import IMAGENET, Normalization
from pipeline.detector.models.bodies.light_bodies import LIGHT, LightBody
from pipeline.detector.models.bodies.packaged import PACKAGED_BACKBONE
from pipeline.detector.models.bodies.timm_family import near_names
from pipeline.detector.models.norms import set_normalisation
from pipeline.detector.models.pyramid import PyramidBackbone, TopLevels
from pipeline.settings import DetectorSettings

PREFIX = "torchvision:"
MOBILENET = "mobilenet_v3_large"
"""The body of torchvision's small Faster R-CNN, with maps at strides 32, 32 and 64."""


def build(settings: DetectorSettings, frozen_stages: int, pretrained: bool) -> tuple[Any, Normalization]:
    """Build a backbone; as `backbones.build_backbone`."""
    name = settings.backbone.removeprefix(PREFIX)
    resnets = [model for model in list_models(torchvision.models) if re.match("(wide_)?resnex?t", model)]
    if name not in (known := [*resnets, *LIGHT, MOBILENET]):
        raise ValueError(
            "Expected a ResNet, ShuffleNet v2, SqueezeNet or MobileNet v3 of torchvision as in 'torchvision:resnet50', "
            f"got {settings.backbone!r}; {near_names(name, known)}"
        )
    if name == MOBILENET and settings.architecture != "faster_rcnn":
        raise ValueError(
            f"{settings.backbone!r} has no map at stride 8: expected detector.architecture faster_rcnn, got "
            f"{settings.architecture}. timm's mobilenetv3_large_100 serves the others"
        )
    if settings.weights == "packaged":
        raise ValueError(f"weights 'packaged' exist for {PACKAGED_BACKBONE!r} alone, got {settings.backbone!r}")
    _require_plain(settings)
    weights = get_model_weights(name).DEFAULT if pretrained and settings.weights == "imagenet" else None
    build_one = _light if name in LIGHT else _mobilenet if name == MOBILENET else _resnet
    return build_one(name, weights, settings, frozen_stages), IMAGENET


def _require_plain(settings: DetectorSettings) -> None:
    for key, plain in (("output_stride", 32), ("drop_path", 0.0)):
        if getattr(settings, key) != plain:
            raise ValueError(
                f"detector.{key} expects a backbone of timm, such as 'resnet50', got {settings.backbone!r}. "
                f"Take one, or set it to {plain:g}"
            )


def _light(name: str, weights: Any, settings: DetectorSettings, frozen_stages: int) -> PyramidBackbone:
    body = LightBody(name, weights)
    finish(body, LIGHT[name].stages, settings, frozen_stages)
    return PyramidBackbone(body, body.channels, settings.fpn_channels)


def _mobilenet(name: str, weights: Any, settings: DetectorSettings, frozen_stages: int) -> Any:
    learning_norm = {} if settings.batch_norm == "frozen" else {"norm_layer": nn.BatchNorm2d}
    backbone = mobilenet_backbone(
        backbone_name=name, weights=weights, fpn=True, trainable_layers=6 - frozen_stages, **learning_norm
    )
    if learning_norm:
        set_normalisation(backbone.body, settings.batch_norm)
    return backbone


def _resnet(name: str, weights: Any, settings: DetectorSettings, frozen_stages: int) -> Any:
    learning_norm = {} if settings.batch_norm == "frozen" else {"norm_layer": nn.BatchNorm2d}
    one_stage = {"returned_layers": [2, 3, 4], "extra_blocks": TopLevels(256, 256)}
    backbone = resnet_fpn_backbone(
        backbone_name=name,
        weights=weights,
        trainable_layers=5 - frozen_stages,
        **({} if settings.architecture == "faster_rcnn" else one_stage),
        **learning_norm,
    )
    if learning_norm:
        set_normalisation(backbone.body, settings.batch_norm)
    if settings.weights == "coco" and settings.architecture != "fcos":
        for module in filter(lambda each: isinstance(each, FrozenBatchNorm2d), backbone.modules()):
            module.eps = 0.0  # as torchvision sets it for weights that were trained so
    return backbone
