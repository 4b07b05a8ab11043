"""Both stages of Faster R-CNN (arXiv 1506.01497) with weighted boxes and ignore regions."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign, box_iou

from pipeline.detector.models.hard_negatives import likeliest_background, wanted_background
from pipeline.detector.models.losses import softmax_loss
from pipeline.detector.models.mask_branch import MaskBranch, positives_of
from pipeline.detector.models.targets import IGNORED_SHARE, Target, in_ignore_region
from pipeline.settings import DetectorSettings, TrainingSettings

POOLED = 7
"""Sides of what is pooled of a proposal; torchvision's number."""
LEARNT = (512, 2)
"""Proposals of an image from which the second stage learns: at most, and for each that it looks at later."""
BEFORE_NMS = {"training": (2000, 6), "testing": (1000, 3)}
"""Proposals of a level before overlapping ones go, likewise."""
AFTER_NMS = {"training": (2000, 4), "testing": (2000, 1)}
"""Proposals of an image after that, likewise; while training, those to learn from are drawn among them."""


def _limit(bounds: tuple[int, int], proposals: int) -> int:
    """How many there may be: no more than the first bound, nor than the second for each proposal."""
    most, each = bounds
    return min(most, each * proposals)


class IgnoringRPN(RegionProposalNetwork):  # type: ignore[misc]
    """Faster R-CNN's proposal network; background in ignore regions costs nothing.

    It asks only whether anything is there, so boxes weigh alike: an object at half weight is still an object. One of
    no weight is neither object nor background.

    Args:
        anchors: Makes the anchors of every level.
        channels: Of the feature pyramid.
        proposals: Most of an image that the second stage looks at.
    """

    def __init__(self, anchors: AnchorGenerator, channels: int, proposals: int) -> None:
        super().__init__(
            anchors,
            RPNHead(channels, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n={mode: _limit(bounds, proposals) for mode, bounds in BEFORE_NMS.items()},
            post_nms_top_n={mode: _limit(bounds, proposals) for mode, bounds in AFTER_NMS.items()},
            nms_thresh=0.7,
        )

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[Target]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Labels 1, 0 or -1 (costs nothing) for each anchor, and its matched box."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        rows = zip(labels, boxes, anchors, targets, strict=True)
        return [_rpn_labels(*row) for row in rows], boxes

    def compute_loss(
        self, objectness: Tensor, deltas: Tensor, labels: list[Tensor], expected: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Losses of objectness and boxes; torchvision's mean over no anchors would be NaN."""
        if all(bool((of_image < 0).all()) for of_image in labels):
            return objectness.sum() * 0, deltas.sum() * 0
        losses: tuple[Tensor, Tensor] = super().compute_loss(objectness, deltas, labels, expected)
        return losses


def _rpn_labels(labels: Tensor, matched: Tensor, anchors: Tensor, target: Target) -> Tensor:
    """Labels of one image, -1 for background in ignore regions and for objects of no weight."""
    weightless = target["boxes"][target["weights"] == 0]
    is_weightless = (matched[:, None] == weightless).all(-1).any(1)
    free = torch.where(labels > 0, is_weightless, in_ignore_region(anchors, target["ignore"]))
    return torch.where(free, -1.0, labels)


class WeightedRoIHeads(RoIHeads):  # type: ignore[misc]
    """Faster R-CNN's second stage with weighted, ignorable targets.

    Its classifier has softmax cross-entropy: of the kinds of `training.classification`, `ohem` alone changes it.

    Args:
        levels: Names of the pyramid levels that features are pooled from.
        channels: Of the feature pyramid.
        classes: Background included.
        detector: Which detections are reported.
        settings: What the losses look like.

    Attributes:
        hard_background: As the one-stage heads have it, here among the proposals that the classifier learns from.
    """

    hard_background: tuple[Tensor, ...] = ()

    @property
    def predictors(self) -> list[nn.Module]:
        """What gives class scores and box coordinates."""
        return [self.box_predictor]

    def __init__(
        self, levels: list[str], channels: int, classes: int, detector: DetectorSettings, settings: TrainingSettings
    ) -> None:
        super().__init__(
            MultiScaleRoIAlign(levels, output_size=POOLED, sampling_ratio=2),
            TwoMLPHead(channels * POOLED**2, detector.roi_features),
            FastRCNNPredictor(detector.roi_features, classes),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=_limit(LEARNT, detector.roi_proposals),
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=detector.score_floor,
            nms_thresh=detector.nms_iou,
            detections_per_img=detector.max_detections,
        )
        self.settings = settings
        self.masks = MaskBranch(levels, channels, classes, detector.box_stages) if detector.masks else None

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[Target] | None = None,
    ) -> tuple[list[Target], dict[str, Tensor]]:
        """Detections, or losses while training; as torchvision's."""
        if not self.training or targets is None:
            answer: tuple[list[Target], dict[str, Tensor]] = super().forward(features, proposals, image_shapes, targets)
            return answer
        proposals = [countable(boxes, target) for boxes, target in zip(proposals, targets, strict=True)]
        proposals, matches, labels, deltas = self.select_training_samples(proposals, targets)
        logits, predicted = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))
        weights = torch.cat([roi_weights(*row) for row in zip(targets, matches, labels, strict=True)])
        self.hard_background = self._likeliest(logits, proposals, labels)
        losses = self._losses(logits, predicted, torch.cat(labels), torch.cat(deltas), weights)
        if self.masks is not None:
            rows = zip(proposals, matches, labels, targets, strict=True)
            losses["mask"] = self.masks.loss(0, features, [positives_of(*row) for row in rows], image_shapes)
        return [], losses

    def _likeliest(self, logits: Tensor, proposals: list[Tensor], labels: list[Tensor]) -> tuple[Tensor, ...]:
        count = wanted_background(self.settings)
        scores = torch.split(logits.detach().softmax(1)[:, 1:].amax(1), [len(boxes) for boxes in proposals])
        rows = zip(scores, labels, proposals, strict=True)
        return tuple(
            likeliest_background(score, label == 0, boxes, count) for score, label, boxes in (rows if count else ())
        )

    def _losses(
        self, logits: Tensor, predicted: Tensor, labels: Tensor, deltas: Tensor, weights: Tensor
    ) -> dict[str, Tensor]:
        is_object = labels > 0
        per_class = predicted.reshape(len(predicted), logits.shape[1], 4)[is_object, labels[is_object]]
        distance = F.smooth_l1_loss(per_class, deltas[is_object], beta=1 / 9, reduction="none").sum(1)
        return {
            "classification": softmax_loss(logits, labels, weights, self.settings),
            "box": (distance * weights[is_object]).sum() / max(1, len(labels)),
        }


def countable(proposals: Tensor, target: Target) -> Tensor:
    """Proposals without those that would be background in an ignore region."""
    ignored = in_ignore_region(proposals, target["ignore"])
    if len(target["boxes"]):
        ignored &= box_iou(proposals, target["boxes"]).amax(1) < IGNORED_SHARE
    return proposals[~ignored]


def roi_weights(target: Target, matches: Tensor, labels: Tensor) -> Tensor:
    """Tensor[N]: what each proposal of an image weighs; background weighs 1."""
    ones = torch.ones(len(labels), device=labels.device)
    return torch.where(labels > 0, target["weights"][matches], ones) if len(target["weights"]) else ones
