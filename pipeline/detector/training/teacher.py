"""An average of the weights over the steps: what is kept of a run, and what looks at pseudo-labelled images first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchvision.ops import box_iou

from pipeline.detector.models.targets import BESIDE_BOXES, Target, in_ignore_region
from pipeline.settings import TeacherSettings

SAME_OBJECT_IOU = 0.5
SMALLEST_PX = 1.0
"""A detector that has learnt little finds boxes without an area, from which nothing can be learnt."""


def build_teacher(model: nn.Module, decay: float) -> AveragedModel:
    """Make an exponential moving average of a model (the teacher of arXiv 1703.01780).

    Args:
        model: The model that learns.
        decay: Share of the old average that stays each step. Early on it is `(1 + n) / (10 + n)` after n updates
            where that is lower, so that a short run forgets where it began.

    Returns:
        The average; call `update_parameters(model)` after each step.
    """

    def average(old: Sequence[Tensor], new: Sequence[Tensor], updates: Tensor | int) -> None:
        count = int(updates)
        kept = min(decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(list(old), list(new), 1 - kept)

    return AveragedModel(model, multi_avg_fn=average)


def with_teacher_labels(target: Target, found: Target, settings: TeacherSettings) -> Target:
    """Add to the labels of a pseudo-labelled image what the teacher sees in it where no label is.

    Pseudo-labels are certified to be right, not to be complete, and an object without a label is taught as background.
    So what the teacher finds there costs nothing; only what it is very sure of becomes a box, weighed by its score (the
    reliability weight of arXiv 2106.09018), as every confident box of the teacher does in arXiv 2102.09480. Certified
    boxes stay as they are: they have been checked harder than one glance can.

    Args:
        target: The image's labels.
        found: The teacher's detections in its weak view: `boxes`, `scores`, `labels`.
        settings: From which scores on.

    Returns:
        The labels with more boxes or ignore regions.
    """
    boxes, scores = found["boxes"], found["scores"]
    has_sides = (boxes[:, 2:] - boxes[:, :2] >= SMALLEST_PX).all(1)
    is_new = has_sides & (scores >= settings.ignore_score) & ~in_ignore_region(boxes, target["ignore"])
    if len(target["boxes"]):
        is_new &= box_iou(boxes, target["boxes"]).amax(1) < SAME_OBJECT_IOU
    is_box = is_new & (scores >= settings.box_score) & (settings.box_score < 1)
    new = {
        "boxes": torch.cat([target["boxes"], boxes[is_box]]),
        "labels": torch.cat([target["labels"], found["labels"][is_box]]),
        "weights": torch.cat([target["weights"], scores[is_box]]),
        "ignore": torch.cat([target["ignore"], boxes[is_new & ~is_box]]),
    }
    for key in target.keys() & set(BESIDE_BOXES):
        known, count = target[key], len(new["boxes"]) - len(target["boxes"])
        unknown = known.new_full((count, *known.shape[1:]), torch.nan if known.is_floating_point() else 0)
        new[key] = torch.cat([known, unknown])
    return new
