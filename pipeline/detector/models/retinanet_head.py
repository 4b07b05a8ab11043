"""RetinaNet's head (arXiv 1708.02002) with a choice of towers, targets and box loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.retinanet import RetinaNetHead

from pipeline.detector.models.assign import Assignment
from pipeline.detector.models.losses import weighted_iou, weighted_l1
from pipeline.detector.models.one_stage import OneStageHead, classification_loss
from pipeline.detector.models.targets import Target, anchor_targets
from pipeline.detector.models.towers import build_tower
from pipeline.settings import DetectorSettings, TrainingSettings


class WeightedRetinaNetHead(OneStageHead, RetinaNetHead):  # type: ignore[misc]
    """The head with weighted, ignorable targets.

    Sums are divided by the total weight of matched anchors in the batch, where torchvision divides image by image;
    images without objects then do not dilute the others. With quality focal loss an anchor weighs by its quality too,
    so that those that lie best place the box.

    Args:
        channels: Of the feature pyramid.
        classes: Background included.
        network: The towers, and how many anchors there are per place.
        settings: What the losses look like.
    """

    def __init__(self, channels: int, classes: int, network: DetectorSettings, settings: TrainingSettings) -> None:
        super().__init__(channels, network.anchors_per_place, classes)
        self.settings = settings
        self.shared = build_tower(channels, network) if network.head_shared else nn.Identity()
        for branch in (self.classification_head, self.regression_head):
            branch.conv = nn.Identity() if network.head_shared else build_tower(channels, network)

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        """Answers for every anchor."""
        outputs: dict[str, Tensor] = super().forward([self.shared(level) for level in features])
        return outputs

    def decode(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        """As of `OneStageHead`."""
        boxes: Tensor = self.regression_head.box_coder.decode_single(offsets, anchors)
        return boxes

    def assigned_loss(
        self, targets: list[Target], outputs: dict[str, Tensor], anchors: list[Tensor], assigned: list[Assignment]
    ) -> dict[str, Tensor]:
        """Losses of a batch, see the class."""
        expected = anchor_targets(targets, anchors, [one.index for one in assigned])
        quality = torch.stack([one.quality for one in assigned])
        self._find_background(outputs, expected.labels, anchors)
        is_object = expected.labels > 0
        weights = expected.weights[is_object]
        if self.settings.classification == "quality_focal":
            weights = weights * quality[is_object]
        total = weights.sum().clamp(min=1)
        offsets, places = outputs["bbox_regression"][is_object], torch.stack(anchors)[is_object]
        return self._switched_on(targets, outputs, anchors, [one.index for one in assigned], expected) | {
            "classification": classification_loss(outputs["cls_logits"], expected, self.settings, quality) / total,
            "box": self.settings.box_weight
            * self._box_loss(offsets, places, expected.boxes[is_object], weights)
            / total,
        }

    def _box_loss(self, offsets: Tensor, anchors: Tensor, boxes: Tensor, weights: Tensor) -> Tensor:
        kind = self.settings.box_loss
        if kind == "l1":
            return weighted_l1(offsets, self.regression_head.box_coder.encode_single(boxes, anchors), weights)
        return weighted_iou(kind, self.decode(offsets, anchors), boxes, weights)
