"""What a second detector says of proposals: whether it finds them too, by itself, in the same image.

That is the level-0 output of a second generaliser in stacked generalisation (Wolpert, Neural Networks 5(2), 1992),
beside that of the detector that proposes; p(correct) is the level-1 model. As in "Issues in Stacked Generalization"
(Ting and Witten, JAIR 10, 1999), level 1 is linear, here under a logistic, and gets scores instead of decisions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.detector.inference.predictor import Detections
from pipeline.detector.inference.tensor_columns import TensorColumns
from pipeline.records import PARTNER_FIELDS

FOUND_IOU = 0.5
"""A detection that overlaps a proposal of its class so much finds the same object."""
PARTNER_NAMES = tuple(name for name, _ in PARTNER_FIELDS)


@dataclass(frozen=True)
class PartnerEvidence(TensorColumns):
    """What a second detector says of each of N proposals; 0 where it does not find it.

    Attributes:
        score: Tensor[N], 0 to 1, best score of its class at the same place.
        iou: Tensor[N], overlap with that detection: how well both agree on the place.
    """

    score: Tensor
    iou: Tensor

    def columns(self) -> dict[str, Tensor]:
        """By the names of `PARTNER_FIELDS`."""
        return dict(zip(PARTNER_NAMES, (self.score, self.iou), strict=True))


def compare_partner(proposals: Detections, seen: Detections) -> PartnerEvidence:
    """Hold the proposals of an image against what a second detector sees there.

    Args:
        proposals: N of one detector.
        seen: Those of another over the same classes, in the same pixels.

    Returns:
        What it says of each.
    """
    if len(seen) == 0:
        return PartnerEvidence(torch.zeros(len(proposals)), torch.zeros(len(proposals)))
    overlap = box_iou(proposals.boxes, seen.boxes)
    same = (proposals.labels[:, None] == seen.labels) & (overlap >= FOUND_IOU)
    score, best = (same * seen.scores).max(1)
    return PartnerEvidence(score, torch.where(score > 0, overlap.gather(1, best[:, None])[:, 0], 0.0))
