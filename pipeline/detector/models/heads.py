"""torchvision's detection heads, taught to weigh boxes and to leave ignore regions alone.

Matching anchors to boxes stays torchvision's; only what a match costs is ours. A target holds, beside torchvision's
`boxes` and `labels`, `weights` (Tensor[N], 0 to 1) and `ignore` (Tensor[M, 4]).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

from pipeline.boxes import intersection_over_first
from pipeline.detector.models.hard_negatives import likeliest_background
from pipeline.detector.models.losses import sigmoid_loss, smooth_one_hot, softmax_loss, weighted_giou, weighted_l1
from pipeline.settings import TrainingSettings

Target = dict[str, Tensor]
Decode = Callable[[Tensor, Tensor], Tensor]
"""Boxes, Tensor[N, 4] in pixels, of what a head says of N anchors or points."""
IGNORED_SHARE = 0.5
"""An anchor of which more lies in an ignore region, and that holds no object, costs nothing."""


@dataclass(frozen=True)
class AnchorTargets:
    """What each anchor of a batch should say.

    Attributes:
        labels: Tensor[B, A] int64; -1 costs nothing, 0 is background.
        weights: Tensor[B, A]; 1 for background.
        boxes: Tensor[B, A, 4]; of the matched object, undefined where there is none.
    """

    labels: Tensor
    weights: Tensor
    boxes: Tensor


def in_ignore_region(boxes: Tensor, ignore: Tensor) -> Tensor:
    """Tell which boxes lie mostly in an ignore region.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        ignore (Tensor[M, 4]): likewise.

    Returns:
        Tensor[N]: bool.
    """
    if len(ignore) == 0:
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    return (intersection_over_first(boxes, ignore) > IGNORED_SHARE).any(1)


def anchor_targets(targets: list[Target], anchors: list[Tensor], matches: list[Tensor]) -> AnchorTargets:
    """Turn torchvision's matches into labels, weights and boxes.

    Args:
        targets: A target an image.
        anchors: Tensor[A, 4] an image.
        matches: Tensor[A] an image: index of the matched box, -1 background, -2 neither.

    Returns:
        The targets of the batch.
    """
    rows = [_image_targets(*row) for row in zip(targets, anchors, matches, strict=True)]
    labels, weights, boxes = (torch.stack(column) for column in zip(*rows, strict=True))
    return AnchorTargets(labels, weights, boxes)


def _image_targets(target: Target, anchors: Tensor, matches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    matched = matches >= 0
    index = matches.clamp(min=0)
    labels = torch.where(matches == -1, 0, -1)
    weights = torch.ones_like(anchors[:, 0])
    boxes = torch.zeros_like(anchors)
    if len(target["labels"]):
        labels = torch.where(matched, target["labels"][index], labels)
        weights = torch.where(matched, target["weights"][index], weights)
        boxes = target["boxes"][index]
    labels = torch.where(~matched & in_ignore_region(anchors, target["ignore"]), -1, labels)
    return labels, weights, boxes


def _classification_loss(logits: Tensor, expected: AnchorTargets, settings: TrainingSettings) -> Tensor:
    counts = expected.labels >= 0
    labels = expected.labels[counts]
    one_hot = smooth_one_hot(labels, logits.shape[-1], settings.label_smoothing)
    return sigmoid_loss(logits[counts], one_hot, labels, expected.weights[counts], settings)


class _OneStageHead:
    """Lets nothing be found of the class 0: torchvision's one-stage heads have a column for it that no box teaches.

    Attributes:
        hard_background: After a training pass, Tensor[N, 4] an image of what looks most like an object and is none;
            as many as the triplet loss wants.
    """

    training: bool
    training_settings = TrainingSettings()
    hard_background: tuple[Tensor, ...] = ()

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        """What torchvision's head tells of every anchor or point; at inference, no score for the class 0."""
        outputs: dict[str, Tensor] = super().forward(features)  # type: ignore[misc]
        if not self.training:
            outputs["cls_logits"][..., 0] = -torch.inf
        return outputs

    def _look_for_background(
        self, logits: Tensor, labels: Tensor, deltas: Tensor, anchors: list[Tensor], decode: Decode
    ) -> None:
        count = _wanted_background(self.training_settings)
        scores, offsets = logits.detach()[..., 1:].amax(-1), deltas.detach()
        self.hard_background = tuple(
            likeliest_background(scores[i], labels[i] == 0, decode(offsets[i], anchors[i]), count)
            for i in range(len(anchors) if count else 0)
        )


def _wanted_background(settings: TrainingSettings) -> int:
    return settings.triplet.background_negatives if settings.triplet.enabled else 0


class WeightedRetinaNetHead(_OneStageHead, RetinaNetHead):  # type: ignore[misc]
    """RetinaNet's head (arXiv 1708.02002) with weighted, ignorable targets.

    Sums are divided by the total weight of matched anchors in the batch, where torchvision divides image by image;
    images without objects then do not dilute the others.
    """

    def compute_loss(
        self, targets: list[Target], head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> dict[str, Tensor]:
        """Losses of a batch, see the class."""
        expected = anchor_targets(targets, anchors, matched_idxs)
        is_object = expected.labels > 0
        weights = expected.weights[is_object]
        total = weights.sum().clamp(min=1)
        logits, offsets = head_outputs["cls_logits"], head_outputs["bbox_regression"]
        classification = _classification_loss(logits, expected, self.training_settings)
        self._look_for_background(
            logits, expected.labels, offsets, anchors, self.regression_head.box_coder.decode_single
        )
        deltas = self.regression_head.box_coder.encode_single(
            expected.boxes[is_object], torch.stack(anchors)[is_object]
        )
        regression = weighted_l1(offsets[is_object], deltas, weights)
        return {"classification": classification / total, "box": regression / total}


class WeightedFCOSHead(_OneStageHead, FCOSHead):  # type: ignore[misc]
    """FCOS's head (arXiv 1904.01355) with weighted, ignorable targets."""

    def compute_loss(
        self, targets: list[Target], head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> dict[str, Tensor]:
        """Losses of a batch, see the class."""
        expected = anchor_targets(targets, anchors, matched_idxs)
        is_object = expected.labels > 0
        weights = expected.weights[is_object]
        total = weights.sum().clamp(min=1)
        logits, offsets = head_outputs["cls_logits"], head_outputs["bbox_regression"]
        classification = _classification_loss(logits, expected, self.training_settings)
        self._look_for_background(logits, expected.labels, offsets, anchors, self.box_coder.decode)
        points, boxes = torch.stack(anchors)[is_object], expected.boxes[is_object]
        predicted = self.box_coder.decode(offsets[is_object], points)
        centerness = head_outputs["bbox_ctrness"].squeeze(-1)[is_object]
        distance = F.binary_cross_entropy_with_logits(
            centerness, _centerness(self.box_coder.encode(points, boxes)), reduction="none"
        )
        return {
            "classification": classification / total,
            "box": weighted_giou(predicted, boxes, weights) / total,
            "centerness": (distance * weights).sum() / total,
        }


def _centerness(distances: Tensor) -> Tensor:
    """Equation 3 of arXiv 1904.01355 from Tensor[M, 4] of left, top, right, bottom."""
    horizontal, vertical = distances[:, [0, 2]], distances[:, [1, 3]]
    ratio = (horizontal.amin(1) / horizontal.amax(1)) * (vertical.amin(1) / vertical.amax(1))
    return ratio.clamp(min=0).sqrt()


class IgnoringRPN(RegionProposalNetwork):  # type: ignore[misc]
    """Faster R-CNN's proposal network (arXiv 1506.01497); background in ignore regions costs nothing.

    It asks only whether anything is there, so boxes weigh alike: an object at half weight is still an object. One of
    no weight is neither object nor background.
    """

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
        if all(bool((one < 0).all()) for one in labels):
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

    Attributes:
        hard_background: As the one-stage heads have it, here among the proposals that the classifier learns from.
    """

    training_settings = TrainingSettings()
    hard_background: tuple[Tensor, ...] = ()

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[Target] | None = None,
    ) -> tuple[list[Target], dict[str, Tensor]]:
        """Detections, or losses while training; as torchvision's."""
        if not self.training or targets is None:
            found: tuple[list[Target], dict[str, Tensor]] = super().forward(features, proposals, image_shapes, targets)
            return found
        proposals = [_countable(boxes, target) for boxes, target in zip(proposals, targets, strict=True)]
        proposals, matches, labels, deltas = self.select_training_samples(proposals, targets)
        logits, predicted = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))
        weights = torch.cat([_roi_weights(*row) for row in zip(targets, matches, labels, strict=True)])
        self.hard_background = self._likeliest(logits, proposals, labels)
        return [], self._losses(logits, predicted, torch.cat(labels), torch.cat(deltas), weights)

    def _likeliest(self, logits: Tensor, proposals: list[Tensor], labels: list[Tensor]) -> tuple[Tensor, ...]:
        count = _wanted_background(self.training_settings)
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
            "classification": softmax_loss(logits, labels, weights, self.training_settings),
            "box": (distance * weights[is_object]).sum() / max(1, len(labels)),
        }


def _countable(proposals: Tensor, target: Target) -> Tensor:
    """Proposals without those that would be background in an ignore region."""
    ignored = in_ignore_region(proposals, target["ignore"])
    if len(target["boxes"]):
        ignored &= box_iou(proposals, target["boxes"]).amax(1) < IGNORED_SHARE
    return proposals[~ignored]


def _roi_weights(target: Target, matches: Tensor, labels: Tensor) -> Tensor:
    ones = torch.ones(len(labels), device=labels.device)
    return torch.where(labels > 0, target["weights"][matches], ones) if len(target["weights"]) else ones
