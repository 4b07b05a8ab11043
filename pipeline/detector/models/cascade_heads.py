"""A cascade of box heads for the two-stage detector (arXiv 1712.00726), the box branch of Hybrid Task Cascade.

Each head begins with the boxes of the one before, and learns from those that overlap an object more. With
`detector.masks` the mask branch of arXiv 1901.07518 learns beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import box_iou, clip_boxes_to_image

from pipeline.detector.models.mask_branch import positives_of
from pipeline.detector.models.targets import Target
from pipeline.detector.models.two_stage import POOLED, WeightedRoIHeads, countable, roi_weights
from pipeline.settings import DetectorSettings, TrainingSettings

TINY = 1e-9


@dataclass(frozen=True)
class Stage:
    """What one head of the cascade learns; the paper's numbers.

    Attributes:
        iou: Overlap from which a box learns an object.
        scale: Of the offsets: later ones are smaller, and are enlarged.
        weight: Of its losses.
    """

    iou: float
    scale: float
    weight: float

    @property
    def coder(self) -> BoxCoder:
        """Between boxes and offsets."""
        return BoxCoder((10 * self.scale, 10 * self.scale, 5 * self.scale, 5 * self.scale))


STAGES = (Stage(0.5, 1.0, 1.0), Stage(0.6, 2.0, 0.5), Stage(0.7, 3.0, 0.25))


class CascadeRoIHeads(WeightedRoIHeads):
    """Three heads, one after the other; arguments as of `WeightedRoIHeads`."""

    def __init__(
        self, levels: list[str], channels: int, classes: int, detector: DetectorSettings, settings: TrainingSettings
    ) -> None:
        super().__init__(levels, channels, classes, detector, settings)
        self.later_heads = nn.ModuleList(TwoMLPHead(channels * POOLED**2, detector.roi_features) for _ in STAGES[1:])
        self.later_predictors = nn.ModuleList(FastRCNNPredictor(detector.roi_features, classes) for _ in STAGES[1:])
        self.box_coder = STAGES[-1].coder  # what torchvision's own methods decode is what the last head says

    @property
    def predictors(self) -> list[nn.Module]:
        """Of every stage."""
        return [self.box_predictor, *self.later_predictors]

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[Target] | None = None,
    ) -> tuple[list[Target], dict[str, Tensor]]:
        """Detections, or losses while training; as torchvision's."""
        if not self.training or targets is None:
            return self._detect(features, proposals, image_shapes), {}
        proposals = [countable(*row) for row in zip(proposals, targets, strict=True)]
        proposals, matches, labels, _ = self.select_training_samples(proposals, targets)
        losses: dict[str, Tensor] = {}
        for number, stage in enumerate(STAGES):
            if number > 0:
                proposals = [countable(*row) for row in zip(proposals, targets, strict=True)]
                matches, labels = matched(proposals, targets, stage.iou)
            logits, predicted = self._answers(number, features, proposals, image_shapes)
            weights = torch.cat([roi_weights(*row) for row in zip(targets, matches, labels, strict=True)])
            deltas = torch.cat(_encoded(stage, proposals, matches, targets))
            of_stage = self._losses(logits, predicted, torch.cat(labels), deltas, weights)
            if number == 0:
                self.hard_background = self._likeliest(logits, proposals, labels)
            proposals = refined(stage, logits, predicted, proposals, image_shapes)
            if self.masks is not None:
                rows = zip(proposals, *matched(proposals, targets, stage.iou), targets, strict=True)
                of_stage["mask"] = self.masks.loss(number, features, [positives_of(*row) for row in rows], image_shapes)
            for name, loss in of_stage.items():
                losses[name] = losses.get(name, torch.zeros_like(loss)) + stage.weight * loss
        return [], losses

    def _answers(
        self, number: int, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        head = [self.box_head, *self.later_heads][number]
        answer: tuple[Tensor, Tensor] = self.predictors[number](
            head(self.box_roi_pool(features, proposals, image_shapes))
        )
        return answer

    def _detect(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> list[Target]:
        """Boxes of the last head; scores are the mean of all three."""
        scores = []
        for number, stage in enumerate(STAGES):
            logits, predicted = self._answers(number, features, proposals, image_shapes)
            scores.append(logits.softmax(-1))
            if number < len(STAGES) - 1:
                proposals = refined(stage, logits, predicted, proposals, image_shapes)
        mean = torch.stack(scores).mean(0).clamp(min=TINY).log()
        found = self.postprocess_detections(mean, predicted, proposals, image_shapes)
        return [
            {"boxes": boxes, "labels": labels, "scores": of_boxes}
            for boxes, of_boxes, labels in zip(*found, strict=True)
        ]


@torch.no_grad()
def refined(
    stage: Stage, logits: Tensor, predicted: Tensor, proposals: list[Tensor], image_shapes: list[tuple[int, int]]
) -> list[Tensor]:
    """Boxes that the next head begins with: those of the likeliest class of each proposal.

    Args:
        stage: That has answered.
        logits (Tensor[M, K]): its classes, over all images.
        predicted (Tensor[M, 4 K]): its offsets.
        proposals: Tensor[N, 4] per image, what it began with.
        image_shapes: Height and width of each image.

    Returns:
        Tensor[N, 4] per image, inside it, without a gradient.
    """
    boxes = stage.coder.decode(predicted, proposals)
    likeliest = logits[:, 1:].argmax(1) + 1
    own = boxes[torch.arange(len(boxes), device=boxes.device), likeliest]
    parts = own.split([len(each) for each in proposals])
    return [clip_boxes_to_image(part, shape) for part, shape in zip(parts, image_shapes, strict=True)]


def matched(proposals: list[Tensor], targets: list[Target], iou: float) -> tuple[list[Tensor], list[Tensor]]:
    """For each proposal of each image the object that it overlaps by `iou` or more, and its label; 0 is background."""
    matcher, rows = Matcher(iou, iou), []
    for boxes, target in zip(proposals, targets, strict=True):
        if len(target["boxes"]) == 0:
            nothing = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
            rows.append((nothing, nothing))
            continue
        index = matcher(box_iou(target["boxes"], boxes))
        rows.append((index.clamp(min=0), torch.where(index >= 0, target["labels"][index.clamp(min=0)], 0)))
    return [row[0] for row in rows], [row[1] for row in rows]


def _encoded(stage: Stage, proposals: list[Tensor], matches: list[Tensor], targets: list[Target]) -> tuple[Tensor, ...]:
    expected = [
        target["boxes"][index] if len(target["boxes"]) else boxes
        for boxes, index, target in zip(proposals, matches, targets, strict=True)
    ]
    encoded: tuple[Tensor, ...] = stage.coder.encode(expected, proposals)
    return encoded
