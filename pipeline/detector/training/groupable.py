"""Weights of pointwise convolutions that become groupable while a detector learns: the rest of them shrinks to 0.

The structured regularisation of arXiv 2002.08127, section 3.2, whose permutations of channels are found anew while the
weights change (`models/channel_groups.py`). It differs in this:

- the number of groups is given, so that there is one level of blocks in place of levels nested by powers of two;
- a block counts by its norm and not by its absolute weights, as a group in the group lasso (Yuan and Lin 2006);
- it is no part of the loss: each step ends with the proximal operator of the term, which sets whole blocks to 0 and
  which AdamW does not rescale, for the same reason that its weight decay is apart from the loss (arXiv 1711.05101);
- a layer's term is scaled by the root mean square of its weights, since folded normalisation leaves layers at scales a
  hundred times apart.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from pipeline.detector.models.channel_groups import (
    ChannelGroups,
    block_norms,
    find_groups,
    pointwise_convolutions,
)
from pipeline.detector.models.detector import Detector
from pipeline.settings import GroupableSettings

LOG = logging.getLogger(__name__)
REFINED_EVERY = 50
"""Steps between two searches for groups."""


class Groupable:
    """Shrinks what lies outside the groups of a detector's pointwise convolutions, as far as they learn.

    Args:
        detector: Its weights are changed in place.
        settings: How strongly, and how many groups.

    Attributes:
        groups: Of each layer, by its name in the body; what a run has to go on with.
    """

    def __init__(self, detector: Detector, settings: GroupableSettings) -> None:
        self._settings = settings
        layers = pointwise_convolutions(detector.body, settings.groups) if settings.weight else {}
        self._weights = {name: layer.weight for name, layer in layers.items() if layer.weight.requires_grad}
        self.groups: dict[str, ChannelGroups] = {}
        if settings.weight and not self._weights:
            LOG.warning(
                "training.groupable has no effect: %s has no pointwise convolution that learns and has a multiple of "
                "%d channels",
                detector.settings.backbone,
                settings.groups,
            )

    @torch.no_grad()
    def shrink(self, step: int, learning_rate: float) -> None:
        """End a step of the optimizer.

        Args:
            step: From 0; groups are found at the first, and climb from where they are at every 50th.
            learning_rate: Of the body.
        """
        for name, parameter in self._weights.items():
            weight = parameter[:, :, 0, 0]
            if step % REFINED_EVERY == 0:
                self.groups[name] = find_groups(weight, self._settings.groups, self.groups.get(name))
            scale = learning_rate * self._settings.weight * float(weight.square().mean().sqrt())
            weight *= kept_shares(weight, self.groups[name], self._settings.groups, scale)


def penalty(weight: Tensor, groups: ChannelGroups, count: int) -> Tensor:
    """The regularisation of one layer: norms of the blocks outside the groups, by the root of their size.

    Args:
        weight: Tensor[O, I].
        groups: Of its channels.
        count: N.

    Returns:
        Tensor[]: 0 where nothing lies outside.
    """
    norms = block_norms(weight, groups, count)
    outside: Tensor = (weight.numel() / count**2) ** 0.5 * (norms.sum() - norms.trace())
    return outside


def kept_shares(weight: Tensor, groups: ChannelGroups, count: int, scale: float) -> Tensor:
    """What the proximal operator of `scale` times the regularisation multiplies each weight with.

    Args:
        weight: Tensor[O, I].
        groups: Of its channels.
        count: N.
        scale: 0 or more; a block whose weights have a smaller root mean square becomes 0.

    Returns:
        Tensor[O, I]: 0 to 1, the same in a block, 1 within groups.
    """
    norms = block_norms(weight, groups, count)
    norms = norms.clamp(min=torch.finfo(norms.dtype).tiny)
    shares: Tensor = (1 - scale * (weight.numel() / count**2) ** 0.5 / norms).clamp(min=0)
    return shares.fill_diagonal_(1)[groups.outputs][:, groups.inputs]
