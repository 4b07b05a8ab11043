"""Small bodies of our own, from papers, for which nobody packages weights; each lies in its module."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pipeline.detector.models.bodies.finishing import finish
from pipeline.detector.models.bodies.inputs import IMAGENET, Normalization
from pipeline.detector.models.bodies.packaged import PACKAGED_BACKBONE
from pipeline.detector.models.bodies.timm_family import near_names
from pipeline.detector.models.pyramid import PyramidBackbone
from pipeline.settings import DetectorSettings

PREFIX = "own:"
OWN = {
    "shufflenet_v1_x0_5": "shufflenet_v1",
    "shufflenet_v1_x1_0": "shufflenet_v1",
    "hetconv_resnet18": "hetconv",
    "hetconv_resnet34": "hetconv",
    "binary_resnet18": "binary",
    "scnet26": "scnet",
    "scnet50": "scnet",
}
"""Name -> its module in `bodies/`, which has `create(name, options)`."""


def build(settings: DetectorSettings, frozen_stages: int, pretrained: bool) -> tuple[PyramidBackbone, Normalization]:
    """Build a backbone; as `backbones.build_backbone`."""
    name = settings.backbone.removeprefix(PREFIX)
    if name not in OWN:
        raise ValueError(f"Expected one of {', '.join(OWN)} after '{PREFIX}', got {name!r}; {near_names(name, [*OWN])}")
    if pretrained and settings.weights != "none":
        raise ValueError(
            f"weights {settings.weights!r} do not exist for {settings.backbone!r} ('packaged' are those of "
            f"{PACKAGED_BACKBONE!r}); set detector.weights to none and training.frozen_stages to 0"
        )
    module: Any = import_module(f"pipeline.detector.models.bodies.{OWN[name]}")
    body = module.create(name, settings.output_stride, settings.drop_path)
    finish(body, [stage["module"] for stage in body.feature_info.info], settings, frozen_stages)
    return PyramidBackbone(body, body.feature_info.channels(), settings.fpn_channels), IMAGENET
