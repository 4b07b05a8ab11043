"""Settings that a network has no use for, so that nobody believes in an effect that they do not have."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.detector.models.backbones import TORCHVISION_PREFIX
from pipeline.settings import DetectorSettings, FocalSettings, TrainingSettings


def unused_settings(detector: DetectorSettings, training: TrainingSettings) -> list[str]:
    """Name the settings that change nothing for this network.

    Args:
        detector: The network.
        training: How it is trained.

    Returns:
        A sentence each. Sizes count only where they differ from their defaults; the kind of loss always does.
    """
    return [f"{key} has no effect on {network}: {why}" for key, network, why in _unused(detector, training)]


def _unused(detector: DetectorSettings, training: TrainingSettings) -> Iterator[tuple[str, str, str]]:
    architecture, of_torchvision = detector.architecture, detector.backbone.startswith(TORCHVISION_PREFIX)
    if architecture == "faster_rcnn":
        softmax = "its classifier has softmax cross-entropy"
        if training.classification == "focal":
            yield "training.classification 'focal'", architecture, softmax
        if training.focal != FocalSettings():
            yield "training.focal", architecture, softmax
        if _is_changed(detector, "head_convs"):
            yield "detector.head_convs", architecture, "its second stage has fully connected layers"
    if architecture == "fcos" and _is_changed(detector, "anchor_scale"):
        yield "detector.anchor_scale", architecture, "it has points in place of anchors"
    elif of_torchvision and _is_changed(detector, "anchor_scale"):
        yield "detector.anchor_scale", detector.backbone, "it has torchvision's anchors"
    if of_torchvision and _is_changed(detector, "fpn_channels"):
        yield "detector.fpn_channels", detector.backbone, "torchvision's pyramid has 256"


def _is_changed(detector: DetectorSettings, name: str) -> bool:
    return bool(getattr(detector, name) != DetectorSettings.model_fields[name].default)
