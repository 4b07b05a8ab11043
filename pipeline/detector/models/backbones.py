"""Backbones with a feature pyramid: which family a name belongs to, and what goes on top."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pipeline.detector.models.bodies.inputs import Normalization
from pipeline.detector.models.strip_pooling import StripPooledPyramid
from pipeline.errors import SettingsError
from pipeline.settings import DetectorSettings

TORCHVISION_PREFIX = "torchvision:"
_FAMILIES = {"torchvision": "torchvision_family", "own": "own_family", "": "timm_family"}
"""What stands before the colon of a name -> the module in `bodies/`, which nothing imports before."""


def build_backbone(
    settings: DetectorSettings, frozen_stages: int, pretrained: bool = True
) -> tuple[Any, Normalization]:
    """Build a backbone with its pyramid, its batch normalisation as set.

    Args:
        settings: Names the backbone and the source of its weights.
        frozen_stages: How many stages, from the stem, do not learn.
        pretrained: False leaves the weights random, for a model whose own weights are loaded next.

    Returns:
        The module, with `out_channels`, and the normalisation that its weights expect.

    Raises:
        ValueError: Unknown backbone, one without maps at the strides of the pyramid or whose stages cannot be frozen,
            or weights that do not exist for it.
    """
    family, colon, _ = settings.backbone.rpartition(":")
    if family not in _FAMILIES or (colon and not family):
        known = ", ".join(f"'{name}:'" for name in _FAMILIES if name)
        raise ValueError(f"Expected a timm model or a name with {known} before it, got {settings.backbone!r}")
    module: Any = import_module(f"pipeline.detector.models.bodies.{_FAMILIES[family]}")
    backbone, normalization = module.build(settings, frozen_stages, pretrained)
    if settings.strip_pooling:
        backbone.fpn = StripPooledPyramid(backbone.fpn, backbone.out_channels)
    return backbone, normalization


def require_buildable(settings: DetectorSettings, frozen_stages: int) -> None:
    """Refuse a backbone that cannot be built, before anything was done for it.

    Raises:
        SettingsError: As `build_backbone` says.
    """
    try:
        build_backbone(settings, frozen_stages, pretrained=False)
    except ValueError as fault:
        raise SettingsError(f"detector.backbone: {fault}") from fault
