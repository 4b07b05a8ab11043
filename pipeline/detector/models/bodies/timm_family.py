"""Bodies that timm has by name."""

from __future__ import annotations

import difflib
from typing import Any

import timm

from pipeline.detector.models.bodies.finishing import finish
from pipeline.detector.models.bodies.inputs import IMAGENET, Normalization
from pipeline.detector.models.bodies.packaged import PACKAGED_BACKBONE, load_packaged
from pipeline.detector.models.bodies.paths import take_path
from pipeline.detector.models.bodies.strides import BODY_STRIDES
from pipeline.detector.models.pyramid import PyramidBackbone
from pipeline.settings import DetectorSettings


def build(settings: DetectorSettings, frozen_stages: int, pretrained: bool) -> tuple[PyramidBackbone, Normalization]:
    """Build a backbone; as `backbones.build_backbone`."""
    name = settings.backbone
    if not timm.is_model(name):
        near = near_names(name, timm.list_models())
        raise ValueError(f"Expected a timm model or 'torchvision:resnet50', got {name!r}; {near}")
    if settings.weights == "packaged" and name != PACKAGED_BACKBONE:
        raise ValueError(f"weights 'packaged' exist for {PACKAGED_BACKBONE!r} alone, got {name!r}; try 'imagenet'")
    body = _create(settings, pretrained=pretrained and settings.weights == "imagenet")
    if pretrained and settings.weights == "packaged":
        load_packaged(body)
    finish(body, [stage["module"] for stage in body.feature_info.info], settings, frozen_stages)
    if settings.path:
        take_path(body, settings.path)
    config = timm.get_pretrained_cfg(name)
    normalization = Normalization(tuple(config.mean), tuple(config.std)) if config else IMAGENET
    return PyramidBackbone(body, body.feature_info.channels(), settings.fpn_channels), normalization


def near_names(name: str, models: list[str]) -> str:
    """What may have been meant, as the end of a message."""
    near = [model for model in models if name in model] or difflib.get_close_matches(name, models, n=5)
    return f"near: {', '.join(near[:5])}" if near else f"known: {', '.join(models[:5])} and {len(models) - 5} more"


def _create(settings: DetectorSettings, pretrained: bool) -> Any:
    options: dict[str, Any] = {"out_indices": _indices_of_strides(settings.backbone), "pretrained": pretrained}
    if settings.output_stride < 32:
        options["output_stride"] = settings.output_stride
    dropping: dict[str, Any] = {"drop_path_rate": settings.drop_path} if settings.drop_path else {}
    try:
        try:
            return timm.create_model(settings.backbone, features_only=True, **options, **dropping)
        except TypeError:  # some bodies have no such option; whether they have paths is seen later
            return timm.create_model(settings.backbone, features_only=True, **options)
    except (AssertionError, NotImplementedError, TypeError) as fault:
        raise ValueError(
            f"detector.output_stride {settings.output_stride} expects a backbone that can be dilated, such as a "
            f"ResNet, EfficientNet or RegNet; {settings.backbone!r} cannot. Set it to 32"
        ) from fault


def _indices_of_strides(name: str) -> tuple[int, ...]:
    """Numbers of the stages whose maps have the strides of the body, as timm describes the model."""
    model: Any = timm.create_model(name, features_only=True, pretrained=False)
    reductions, stages = model.feature_info.reduction(), model.feature_info.out_indices
    missing = [stride for stride in BODY_STRIDES if stride not in reductions]
    if missing:
        raise ValueError(f"Expected a backbone with feature maps at strides 8, 16 and 32, {name!r} lacks {missing}")
    # Some models give no map of their first stage by default, so a place among the maps is no number of a stage.
    return tuple(stages[reductions.index(stride)] for stride in BODY_STRIDES)
