"""The heads of RetinaNet and FCOS with weighted boxes and ignore regions.

Matching anchors to boxes stays torchvision's; only what a match costs is ours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead

from pipeline.detector.models.hard_negatives import likeliest_background, wanted_background
from pipeline.detector.models.losses import sigmoid_loss, smooth_one_hot, weighted_giou, weighted_l1
from pipeline.detector.models.targets import AnchorTargets, Target, anchor_targets
from pipeline.settings import TrainingSettings

Decode = Callable[[Tensor, Tensor], Tensor]
"""Gives boxes, Tensor[N, 4] in pixels, from the offsets of N anchors or points and from these."""


def _classification_loss(logits: Tensor, expected: AnchorTargets, settings: TrainingSettings) -> Tensor:
    counts = expected.labels >= 0
    labels = expected.labels[counts]
    one_hot = smooth_one_hot(labels, logits.shape[-1], settings.label_smoothing)
    return sigmoid_loss(logits[counts], one_hot, labels, expected.weights[counts], settings)


class _OneStageHead:
    """What both heads share. At inference nothing is of class 0, whose column in torchvision's heads no box teaches.

    Attributes:
        settings: What the losses look like.
        hard_background: After a training pass, Tensor[N, 4] per image of what looks most like an object and is none;
            as many as the triplet loss wants.
    """

    training: bool
    settings: TrainingSettings
    hard_background: tuple[Tensor, ...] = ()

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        """Answers of torchvision's head for every anchor or point; at inference, no score for the class 0."""
        outputs: dict[str, Tensor] = super().forward(features)  # type: ignore[misc]
        if not self.training:
            logits = outputs["cls_logits"]
            never = torch.full_like(logits[..., :1], -torch.inf)
            outputs["cls_logits"] = torch.cat([never, logits[..., 1:]], dim=-1)
        return outputs

    def _find_background(
        self, outputs: dict[str, Tensor], labels: Tensor, anchors: list[Tensor], decode: Decode
    ) -> None:
        count = wanted_background(self.settings)
        scores = outputs["cls_logits"].detach()[..., 1:].amax(-1)
        offsets = outputs["bbox_regression"].detach()
        self.hard_background = tuple(
            likeliest_background(scores[i], labels[i] == 0, decode(offsets[i], anchors[i]), count)
            for i in range(len(anchors) if count else 0)
        )


class WeightedRetinaNetHead(_OneStageHead, RetinaNetHead):  # type: ignore[misc]
    """RetinaNet's head (arXiv 1708.02002) with weighted, ignorable targets.

    Sums are divided by the total weight of matched anchors in the batch, where torchvision divides image by image;
    images without objects then do not dilute the others.

    Args:
        channels: Of the feature pyramid.
        anchors: Per place.
        classes: Background included.
        convs: Of each branch, at most torchvision's four.
        settings: What the losses look like.
    """

    def __init__(self, channels: int, anchors: int, classes: int, convs: int, settings: TrainingSettings) -> None:
        super().__init__(channels, anchors, classes)
        self.settings = settings
        # torchvision builds four whatever is wanted: the first ones stay, so that a seed gives them the same weights.
        for branch in (self.classification_head, self.regression_head):
            branch.conv = branch.conv[:convs]

    def compute_loss(
        self, targets: list[Target], head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> dict[str, Tensor]:
        """Losses of a batch, see the class."""
        expected = anchor_targets(targets, anchors, matched_idxs)
        is_object = expected.labels > 0
        weights = expected.weights[is_object]
        total = weights.sum().clamp(min=1)
        classification = _classification_loss(head_outputs["cls_logits"], expected, self.settings)
        coder = self.regression_head.box_coder
        self._find_background(head_outputs, expected.labels, anchors, coder.decode_single)
        deltas = coder.encode_single(expected.boxes[is_object], torch.stack(anchors)[is_object])
        regression = weighted_l1(head_outputs["bbox_regression"][is_object], deltas, weights)
        return {"classification": classification / total, "box": regression / total}


class WeightedFCOSHead(_OneStageHead, FCOSHead):  # type: ignore[misc]
    """FCOS's head (arXiv 1904.01355) with weighted, ignorable targets.

    Args:
        channels: Of the feature pyramid.
        classes: Background included.
        convs: Of each branch.
        settings: What the losses look like.
    """

    def __init__(self, channels: int, classes: int, convs: int, settings: TrainingSettings) -> None:
        super().__init__(channels, 1, classes, convs)
        self.settings = settings

    def compute_loss(
        self, targets: list[Target], head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> dict[str, Tensor]:
        """Losses of a batch, see the class."""
        expected = anchor_targets(targets, anchors, matched_idxs)
        is_object = expected.labels > 0
        weights = expected.weights[is_object]
        total = weights.sum().clamp(min=1)
        classification = _classification_loss(head_outputs["cls_logits"], expected, self.settings)
        self._find_background(head_outputs, expected.labels, anchors, self.box_coder.decode)
        points, boxes = torch.stack(anchors)[is_object], expected.boxes[is_object]
        predicted = self.box_coder.decode(head_outputs["bbox_regression"][is_object], points)
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
