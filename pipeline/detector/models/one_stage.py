"""What the heads of RetinaNet and FCOS share, and that of FCOS: weighted boxes and ignore regions."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.models.detection.fcos import FCOSHead

from pipeline.detector.models.hard_negatives import likeliest_background, wanted_background
from pipeline.detector.models.losses import sigmoid_loss, smooth_one_hot, weighted_iou
from pipeline.detector.models.repulsion import predicted_boxes, repulsion_loss
from pipeline.detector.models.sparse_prior import sparse_prior
from pipeline.detector.models.targets import AnchorTargets, Target, anchor_targets
from pipeline.settings import DetectorSettings, TrainingSettings


def classification_loss(
    logits: Tensor, expected: AnchorTargets, settings: TrainingSettings, quality: Tensor | None = None
) -> Tensor:
    """Classification loss of a batch.

    Args:
        logits (Tensor[B, A, K]): column 0 stands for nothing.
        expected: What they should answer.
        settings: Which loss.
        quality (Tensor[B, A]): 0 to 1; what scores of objects should be under quality focal loss, 1 by default.

    Returns:
        Tensor[]: the weighted sum over anchors that count.
    """
    counts = expected.labels >= 0
    labels = expected.labels[counts]
    wanted = smooth_one_hot(labels, logits.shape[-1], settings.label_smoothing)
    if quality is not None and settings.classification == "quality_focal":
        wanted = wanted * quality[counts][:, None]
    return sigmoid_loss(logits[counts], wanted, labels, expected.weights[counts], settings)


class OneStageHead:
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

    def decode(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        """Boxes, Tensor[N, 4] in pixels, from the offsets of N anchors or points and from these."""
        raise NotImplementedError

    def _find_background(self, outputs: dict[str, Tensor], labels: Tensor, anchors: list[Tensor]) -> None:
        count = wanted_background(self.settings)
        scores = outputs["cls_logits"].detach()[..., 1:].amax(-1)
        offsets = outputs["bbox_regression"].detach()
        self.hard_background = tuple(
            likeliest_background(scores[i], labels[i] == 0, self.decode(offsets[i], anchors[i]), count)
            for i in range(len(anchors) if count else 0)
        )

    def _switched_on(
        self,
        targets: list[Target],
        outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matches: list[Tensor],
        expected: AnchorTargets,
    ) -> dict[str, Tensor]:
        """Losses that have a switch of their own, by name."""

        def boxes(image: int, which: Tensor) -> Tensor:
            return self.decode(outputs["bbox_regression"][image][which], anchors[image][which])

        losses: dict[str, Tensor] = {}
        if self.settings.repulsion.enabled:
            predicted = predicted_boxes(matches, expected.labels > 0, expected.weights, boxes)
            losses["repulsion"] = repulsion_loss(predicted, targets, self.settings.repulsion)
        if self.settings.bottleneck.enabled:
            prior = sparse_prior(outputs["cls_logits"].sigmoid(), expected.labels >= 0, targets, boxes)
            losses["bottleneck"] = self.settings.bottleneck.weight * prior
        return losses


class WeightedFCOSHead(OneStageHead, FCOSHead):  # type: ignore[misc]
    """FCOS's head (arXiv 1904.01355) with weighted, ignorable targets.

    Args:
        channels: Of the feature pyramid.
        classes: Background included.
        detector: Convolutions of each branch.
        settings: What the losses look like.
    """

    def __init__(self, channels: int, classes: int, detector: DetectorSettings, settings: TrainingSettings) -> None:
        super().__init__(channels, 1, classes, detector.head_convs)
        self.settings = settings

    def decode(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        """As of `OneStageHead`."""
        boxes: Tensor = self.box_coder.decode(offsets, anchors)
        return boxes

    def compute_loss(
        self, targets: list[Target], head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> dict[str, Tensor]:
        """Losses of a batch, see the class."""
        expected = anchor_targets(targets, anchors, matched_idxs)
        is_object = expected.labels > 0
        weights = expected.weights[is_object]
        total = weights.sum().clamp(min=1)
        classification = classification_loss(head_outputs["cls_logits"], expected, self.settings)
        self._find_background(head_outputs, expected.labels, anchors)
        points, boxes = torch.stack(anchors)[is_object], expected.boxes[is_object]
        predicted = self.decode(head_outputs["bbox_regression"][is_object], points)
        centerness = head_outputs["bbox_ctrness"].squeeze(-1)[is_object]
        distance = F.binary_cross_entropy_with_logits(
            centerness, _centerness(self.box_coder.encode(points, boxes)), reduction="none"
        )
        return self._switched_on(targets, head_outputs, anchors, matched_idxs, expected) | {
            "classification": classification / total,
            "box": weighted_iou("giou", predicted, boxes, weights) / total,
            "centerness": (distance * weights).sum() / total,
        }


def _centerness(distances: Tensor) -> Tensor:
    """Equation 3 of arXiv 1904.01355 from Tensor[M, 4] of left, top, right, bottom."""
    horizontal, vertical = distances[:, [0, 2]], distances[:, [1, 3]]
    ratio = (horizontal.amin(1) / horizontal.amax(1)) * (vertical.amin(1) / vertical.amax(1))
    return ratio.clamp(min=0).sqrt()
