"""Which anchors of an image learn which object: by a fixed overlap, or by what the objects and answers look like.

No assigner sends a gradient anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from pipeline.detector.models.targets import Target
from pipeline.settings import Assigner

NEAREST = 9
"""Anchors nearest to an object on each level that `atss` considers; k of the paper."""
TOP = 10
"""Anchors that learn an object at most under `task_aligned`; 13 in the paper, 10 in later detectors."""
ALPHA, BETA = 1.0, 6.0
"""How much score and overlap count in `task_aligned`, as in the paper."""
TINY = 1e-9


@dataclass(frozen=True)
class Assignment:
    """What the anchors of one image learn.

    Attributes:
        index: Tensor[A] int64; the object, or -1 for background.
        quality: Tensor[A], 0 to 1; what the score of an anchor should be, 0 for background.
    """

    index: Tensor
    quality: Tensor


@dataclass(frozen=True)
class Answers:
    """What a network makes of the anchors of one image.

    Attributes:
        anchors: Tensor[A, 4] in `(x1, y1, x2, y2)`, pixels.
        boxes: Tensor[A, 4], likewise.
        scores: Tensor[A, K], of each class, 0 to 1.
    """

    anchors: Tensor
    boxes: Tensor
    scores: Tensor


@torch.no_grad()
def assign(assigner: Assigner, answers: Answers, target: Target, matcher: Matcher) -> Assignment:
    """Assign the anchors of one image.

    Args:
        assigner: How.
        answers: What the network says so far.
        target: The objects.
        matcher: torchvision's, for `iou`.
    """
    boxes, anchors = target["boxes"], answers.anchors
    if len(boxes) == 0:
        return Assignment(torch.full_like(anchors[:, 0], -1, dtype=torch.int64), torch.zeros_like(anchors[:, 0]))
    if assigner == "task_aligned":
        return task_aligned(answers, boxes, target["labels"])
    index = atss(anchors, boxes) if assigner == "atss" else matcher(box_iou(boxes, anchors))
    quality = box_iou(answers.boxes, boxes).gather(1, index.clamp(min=0)[:, None])[:, 0]
    return Assignment(index, torch.where(index >= 0, quality, 0.0))


def atss(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Adaptive training sample selection (arXiv 1912.02424).

    On each level the anchors nearest to an object are candidates; of them those learn it whose overlap is above the
    mean and a standard deviation of all candidates' and whose centre lies in it.

    Args:
        anchors (Tensor[A, 4]): in `(x1, y1, x2, y2)`, pixels.
        boxes (Tensor[N, 4]): the objects, at least one.

    Returns:
        Tensor[A] int64: the object of each anchor, -1 for background.
    """
    middles, centres, levels = _centres(anchors), _centres(boxes), pyramid_levels(anchors)
    distances = torch.cdist(centres, middles)
    candidates = torch.zeros_like(distances, dtype=torch.bool)
    for level in range(int(levels.max()) + 1):
        members = (levels == level).nonzero().flatten()
        nearest = distances[:, members].topk(min(NEAREST, len(members)), largest=False).indices
        candidates.scatter_(1, members[nearest], True)
    overlaps = box_iou(boxes, anchors)
    of_candidates = torch.where(candidates, overlaps, torch.nan)
    mean = of_candidates.nanmean(1, keepdim=True)
    spread = (of_candidates - mean).square().nanmean(1, keepdim=True).sqrt()
    chosen = candidates & (overlaps >= mean + spread) & _inside(middles, boxes)
    return _one_each(chosen, overlaps)


def task_aligned(answers: Answers, boxes: Tensor, labels: Tensor) -> Assignment:
    """Task-aligned assignment (TOOD, arXiv 2108.07755).

    An object is learnt by the anchors in it that already answer best, by score and place: `t = s^alpha u^beta`.
    An object so small that no anchor lies in it has the nearest one.

    Args:
        answers: What the network says so far.
        boxes (Tensor[N, 4]): the objects, at least one.
        labels (Tensor[N]): int64, their columns in the scores.

    Returns:
        The assignment; quality is `t`, scaled so that the best anchor of an object has the object's best overlap
        (equation 3 of the paper).
    """
    middles = _centres(answers.anchors)
    eligible = _inside(middles, boxes)
    nearest = torch.cdist(_centres(boxes), middles).argmin(1, keepdim=True)
    eligible |= torch.zeros_like(eligible).scatter_(1, nearest, True) & ~eligible.any(1, keepdim=True)
    overlaps = box_iou(boxes, answers.boxes)
    alignment = answers.scores[:, labels].T.pow(ALPHA) * overlaps.pow(BETA)
    best = torch.where(eligible, alignment, -1.0).topk(min(TOP, len(middles))).indices
    chosen = eligible & torch.zeros_like(eligible).scatter_(1, best, True)
    index = _one_each(chosen, overlaps)
    learns = index == torch.arange(len(boxes), device=index.device)[:, None]
    alignment, overlaps = alignment * learns, overlaps * learns
    scaled = alignment / alignment.amax(1, keepdim=True).clamp(min=TINY) * overlaps.amax(1, keepdim=True)
    return Assignment(index, scaled.amax(0))


def pyramid_levels(anchors: Tensor) -> Tensor:
    """Tensor[A] int64: the level of each anchor, from 0, by its area; octaves of a level are one level."""
    sides = ((anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])).sqrt()
    return (sides / sides.min()).log2().add(1e-3).floor().long()


def _centres(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Tensor[N, A]: whether each point lies in each box."""
    return ((points > boxes[:, None, :2]) & (points < boxes[:, None, 2:])).all(-1)


def _one_each(chosen: Tensor, overlaps: Tensor) -> Tensor:
    """Tensor[A]: the object of each anchor, the one that it overlaps most where several want it; -1 for none."""
    best = torch.where(chosen, overlaps, -1.0).max(0)
    return torch.where(best.values >= 0, best.indices, -1)
