"""Losses with a weight for every box, as pure functions.

Label smoothing has two meanings here. Under softmax (two-stage classifiers) it is the usual one (arXiv 1512.00567):
the true class gets `1 - eps + eps / K`, every other `eps / K`. Under sigmoid focal loss each class is a yes-no
question of its own and nearly every anchor is background, so smoothing the background would teach that everything
is there a little; only anchors that hold an object are smoothed: their class gets `1 - eps`, the other classes
`eps / (K - 1)`, background stays 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss, sigmoid_focal_loss

from pipeline.settings import BoxIouLoss, FocalSettings, OhemSettings, TrainingSettings

_IOU_LOSSES = {"giou": generalized_box_iou_loss, "diou": distance_box_iou_loss, "ciou": complete_box_iou_loss}


def smooth_one_hot(labels: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Targets of the sigmoid classifiers, see the module's text.

    Args:
        labels (Tensor[M]): int64, 0 is background, 1 to `num_classes - 1` are objects.
        num_classes: Columns, background included.
        smoothing: eps, 0 to 0.5; without effect for a single class.

    Returns:
        Tensor[M, num_classes]: float32; column 0 and rows of background are 0.
    """
    targets = F.one_hot(labels, num_classes).float()
    targets[:, 0] = 0
    others = num_classes - 2
    if smoothing == 0 or others == 0:
        return targets
    is_object = (labels > 0).float()[:, None]
    smoothed = targets * (1 - smoothing) + (1 - targets) * (smoothing / others)
    smoothed[:, 0] = 0
    return smoothed * is_object


def sigmoid_loss(
    logits: Tensor, targets: Tensor, labels: Tensor, weights: Tensor, settings: TrainingSettings
) -> Tensor:
    """Classification loss of the one-stage detectors, as `classification` has it.

    `focal` is arXiv 1708.02002, equation 5; `quality_focal` its form for targets between 0 and 1; `cross_entropy` is
    the binary one of each class; `ohem` is that as well, of the objects and of the background that costs most (arXiv
    1604.03540, chosen over the whole batch so that images without objects count).

    Args:
        logits (Tensor[M, K]): before the sigmoid.
        targets (Tensor[M, K]): 0 to 1, may be smoothed.
        labels (Tensor[M]): int64, 0 is background.
        weights (Tensor[M]): of each row, 0 and up.
        settings: Which loss.

    Returns:
        Tensor[]: the weighted sum over rows and columns; 0 for no rows.
    """
    rows = _SIGMOID_LOSSES[settings.classification](logits, targets, settings.focal).sum(1) * weights
    return hardest(rows, labels, settings.ohem).sum() if settings.classification == "ohem" else rows.sum()


def quality_focal_loss(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Quality focal loss (arXiv 2006.04388, equation 2), which has no `alpha`.

    Args:
        logits (Tensor[M, K]): before the sigmoid.
        targets (Tensor[M, K]): 0 to 1; what the scores should be.
        gamma: How strongly easy examples fade; the paper's beta.

    Returns:
        Tensor[M, K]: 0 where the score is the target.
    """
    distance = (targets - logits.sigmoid()).abs()
    return distance.pow(gamma) * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _cross_entropy(logits: Tensor, targets: Tensor, _settings: FocalSettings) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _focal(logits: Tensor, targets: Tensor, settings: FocalSettings) -> Tensor:
    losses: Tensor = sigmoid_focal_loss(logits, targets, settings.alpha, settings.gamma, reduction="none")
    return losses


def _quality_focal(logits: Tensor, targets: Tensor, settings: FocalSettings) -> Tensor:
    return quality_focal_loss(logits, targets, settings.gamma)


_SIGMOID_LOSSES: dict[str, Callable[[Tensor, Tensor, FocalSettings], Tensor]] = {
    "quality_focal": _quality_focal,
    "focal": _focal,
    "cross_entropy": _cross_entropy,
    "ohem": _cross_entropy,
}


def hardest(losses: Tensor, labels: Tensor, settings: OhemSettings) -> Tensor:
    """Leave objects and the background that costs most; no number has to come back from the device for it.

    Args:
        losses (Tensor[M]): of each row.
        labels (Tensor[M]): int64, 0 is background.
        settings: How much background stays for each object; without objects, for one.

    Returns:
        Tensor[M]: what stays, 0 for the rest; in another order.
    """
    is_object = labels > 0
    background = torch.where(is_object, -1.0, losses.detach()).argsort(descending=True, stable=True)
    kept = is_object.sum().clamp(min=1) * settings.negatives_per_object
    stays = is_object[background] | (torch.arange(len(losses), device=losses.device) < kept)
    return torch.where(stays, losses[background], 0.0)


def softmax_loss(logits: Tensor, labels: Tensor, weights: Tensor, settings: TrainingSettings) -> Tensor:
    """Cross-entropy of the two-stage classifier; with `ohem`, of objects and the hardest background.

    Args:
        logits (Tensor[M, K]): column 0 is background.
        labels (Tensor[M]): int64, 0 is background.
        weights (Tensor[M]): of each row.
        settings: Smoothing and the choice of background.

    Returns:
        Tensor[]: the weighted sum divided by all weights; 0 for no rows.
    """
    losses = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing, reduction="none") * weights
    if settings.classification == "ohem":
        losses = hardest(losses, labels, settings.ohem)
    return losses.sum() / weights.sum().clamp(min=1)


def weighted_l1(predicted: Tensor, expected: Tensor, weights: Tensor) -> Tensor:
    """L1 distance of encoded boxes.

    Args:
        predicted (Tensor[M, 4]): encoded against their anchors.
        expected (Tensor[M, 4]): likewise.
        weights (Tensor[M]): of each row.

    Returns:
        Tensor[]: the weighted sum.
    """
    return ((predicted - expected).abs().sum(1) * weights).sum()


def weighted_iou(kind: BoxIouLoss, predicted: Tensor, expected: Tensor, weights: Tensor) -> Tensor:
    """Loss of boxes by their overlap: generalised (arXiv 1902.09630), distance or complete IoU (arXiv 1911.08287).

    Args:
        kind: `giou`, `diou` or `ciou`.
        predicted (Tensor[M, 4]): in `(x1, y1, x2, y2)`, pixels.
        expected (Tensor[M, 4]): likewise.
        weights (Tensor[M]): of each row.

    Returns:
        Tensor[]: the weighted sum.
    """
    losses: Tensor = _IOU_LOSSES[kind](predicted, expected, reduction="none")
    return (losses * weights).sum()
