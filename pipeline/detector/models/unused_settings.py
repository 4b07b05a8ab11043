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
    if detector.architecture != "retinanet":
        yield from _only_of_retinanet(detector, training)
    if detector.architecture == "faster_rcnn":
        yield from _not_of_two_stages(detector, training)
    else:
        yield from _only_of_two_stages(detector)
    if training.label_map and training.start_from is None:
        yield "training.label_map", detector.architecture, "training.start_from names no model"
    if detector.architecture == "fcos" and _is_changed(detector, "anchor_scale"):
        yield "detector.anchor_scale", "fcos", "it has points in place of anchors"
    elif _has_torchvisions_anchors(detector) and _is_changed(detector, "anchor_scale"):
        yield "detector.anchor_scale", detector.backbone, "it has torchvision's anchors"
    if _is_of_torchvision(detector) and _is_changed(detector, "fpn_channels"):
        yield "detector.fpn_channels", detector.backbone, "torchvision's pyramid has 256"


def _only_of_two_stages(detector: DetectorSettings) -> Iterator[tuple[str, str, str]]:
    for name in ("box_stages", "roi_features", "roi_proposals", "masks"):
        if _is_changed(detector, name):
            yield f"detector.{name}", detector.architecture, "it has no second stage"


def _only_of_retinanet(detector: DetectorSettings, training: TrainingSettings) -> Iterator[tuple[str, str, str]]:
    for name in ("head_norm", "head_shared", "anchors_per_place"):
        if _is_changed(detector, name):
            yield f"detector.{name}", detector.architecture, "it is of RetinaNet alone"
    for name in ("assigner", "box_loss", "box_weight"):
        if _is_changed(training, name):
            yield f"training.{name}", detector.architecture, "it is of RetinaNet alone"


def _not_of_two_stages(detector: DetectorSettings, training: TrainingSettings) -> Iterator[tuple[str, str, str]]:
    softmax = "its classifier has softmax cross-entropy"
    if training.classification in {"focal", "quality_focal"}:
        yield f"training.classification {training.classification!r}", detector.architecture, softmax
    if training.repulsion.enabled:
        yield "training.repulsion", detector.architecture, "it is of the one-stage detectors"
    if training.bottleneck.enabled:
        yield "training.bottleneck", detector.architecture, "it is of the one-stage detectors"
    if training.focal != FocalSettings():
        yield "training.focal", detector.architecture, softmax
    if _is_changed(detector, "head_convs"):
        yield "detector.head_convs", detector.architecture, "its second stage has fully connected layers"


def _is_of_torchvision(detector: DetectorSettings) -> bool:
    return detector.backbone.startswith(TORCHVISION_PREFIX)


def _has_torchvisions_anchors(detector: DetectorSettings) -> bool:
    own = detector.architecture == "retinanet" and detector.anchors_per_place == 1
    return _is_of_torchvision(detector) and not own


def _is_changed(section: DetectorSettings | TrainingSettings, name: str) -> bool:
    return bool(getattr(section, name) != type(section).model_fields[name].default)
