"""Losses with a weight for every box, as pure functions.

Label smoothing has two meanings here. Under softmax (two-stage classifiers) it is the usual one (arXiv 1512.00567):
the true class gets `1 - eps + eps / K`, every other `eps / K`. Under sigmoid focal loss each class is a yes-no
question of its own and nearly every anchor is background, so smoothing the background would teach that everything
is there a little; only anchors that hold an object are smoothed: their class gets `1 - eps`, the other classes
`eps / (K - 1)`, background stays 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from pipeline.settings import FocalSettings, TripletSettings


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


def focal_loss(logits: Tensor, targets: Tensor, weights: Tensor, settings: FocalSettings) -> Tensor:
    """Focal loss (arXiv 1708.02002, equation 5), or plain binary cross-entropy where it is switched off.

    Args:
        logits (Tensor[M, K]): before the sigmoid.
        targets (Tensor[M, K]): 0 to 1, may be smoothed.
        weights (Tensor[M]): of each row, 0 and up.
        settings: alpha, gamma and the switch.

    Returns:
        Tensor[]: the weighted sum over rows and columns; 0 for no rows.
    """
    if settings.enabled:
        losses: Tensor = sigmoid_focal_loss(
            logits, targets, alpha=settings.alpha, gamma=settings.gamma, reduction="none"
        )
    else:
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses.sum(1) * weights).sum()


def softmax_loss(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of the two-stage classifier.

    Args:
        logits (Tensor[M, K]): column 0 is background.
        labels (Tensor[M]): int64, 0 is background.
        weights (Tensor[M]): of each row.
        smoothing: eps of label smoothing.

    Returns:
        Tensor[]: the weighted mean; 0 for no rows.
    """
    losses = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=1)


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


def weighted_giou(predicted: Tensor, expected: Tensor, weights: Tensor) -> Tensor:
    """Generalised IoU loss (arXiv 1902.09630).

    Args:
        predicted (Tensor[M, 4]): in `(x1, y1, x2, y2)`, pixels.
        expected (Tensor[M, 4]): likewise.
        weights (Tensor[M]): of each row.

    Returns:
        Tensor[]: the weighted sum.
    """
    losses: Tensor = generalized_box_iou_loss(predicted, expected, reduction="none")
    return (losses * weights).sum()


def triplet_loss(embeddings: Tensor, labels: Tensor, settings: TripletSettings) -> Tensor:
    """Triplet loss on box embeddings: batch-hard or batch-all (arXiv 1703.07737).

    Batch-hard takes, for every box, the farthest of its class and the nearest of another; batch-all takes every
    triplet and averages those that still cost something.

    Args:
        embeddings (Tensor[M, D]): unit length, a row a box.
        labels (Tensor[M]): int64 class of each box.
        settings: margin and mining.

    Returns:
        Tensor[]: mean over triplets with a positive loss; 0 where no triplet can be made.
    """
    loss = TripletMarginLoss(margin=settings.margin, distance=LpDistance(normalize_embeddings=False))
    embeddings = embeddings.float()
    if len(embeddings) < 3:  # the miner cannot do with none
        return embeddings.sum() * 0
    if settings.mining == "batch_all":
        return torch.as_tensor(loss(embeddings, labels))
    hardest = BatchHardMiner(distance=LpDistance(normalize_embeddings=False))(embeddings.detach(), labels)
    return torch.as_tensor(loss(embeddings, labels, hardest))
