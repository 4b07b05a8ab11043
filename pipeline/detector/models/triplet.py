"""Triplet loss on box embeddings (arXiv 1503.03832), its miners and the sample of boxes that it sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner
from torch import Tensor

from pipeline.settings import TripletSettings


def triplet_loss(embeddings: Tensor, labels: Tensor, settings: TripletSettings) -> Tensor:
    """Triplet loss on box embeddings, mined as set.

    Batch-hard (arXiv 1703.07737) takes, for every box, the farthest of its class and the nearest of another; batch-all
    every triplet; semi-hard (arXiv 1503.03832) those whose negative is farther than the positive but within the margin.
    Triplets that still cost something are averaged.

    Args:
        embeddings (Tensor[M, D]): unit length, one row per box.
        labels (Tensor[M]): int64 class of each box; rows of background have negative labels, no two alike, so that
            they are never drawn to anything.
        settings: margin and mining.

    Returns:
        Tensor[]: mean over triplets with a positive loss; 0 where no triplet can be made.
    """
    loss = TripletMarginLoss(margin=settings.margin, distance=LpDistance(normalize_embeddings=False))
    embeddings = embeddings.float()
    if len(embeddings) < 3:  # the miners cannot do with none
        return embeddings.sum() * 0
    miner = _MINERS[settings.mining](settings.margin)
    mined = miner(embeddings.detach(), labels) if miner is not None else None
    return torch.as_tensor(loss(embeddings, labels, mined))


def _batch_hard(_margin: float) -> Any:
    return BatchHardMiner(distance=LpDistance(normalize_embeddings=False))


def _semi_hard(margin: float) -> Any:
    distance = LpDistance(normalize_embeddings=False)
    return TripletMarginMiner(margin=margin, type_of_triplets="semihard", distance=distance)


_MINERS: dict[str, Callable[[float], Any]] = {
    "batch_hard": _batch_hard,
    "semi_hard": _semi_hard,
    "batch_all": lambda _margin: None,
}
"""None: every triplet of the batch."""


def sample_boxes(labels: Tensor, settings: TripletSettings) -> Tensor:
    """Draw P classes and K boxes of each (arXiv 1703.07737), so that frequent classes do not make up every triplet.

    Args:
        labels (Tensor[M]): int64 class of each box.
        settings: P and K, 0 for all.

    Returns:
        Tensor[N]: int64 indices, ascending; drawn from torch's global stream.
    """
    classes = torch.unique(labels)
    if settings.classes:
        classes = classes[torch.randperm(len(classes))[: settings.classes]]
    most = settings.boxes_per_class or len(labels)
    chosen = [_some((labels == number).nonzero().flatten(), most) for number in classes]
    return torch.cat([labels.new_zeros(0), *chosen]).sort().values


def _some(indices: Tensor, most: int) -> Tensor:
    return indices[torch.randperm(len(indices), device="cpu")[:most]] if len(indices) > most else indices
