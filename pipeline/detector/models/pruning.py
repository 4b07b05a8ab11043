"""Channels taken out of a trained body, whole (arXiv 1608.08710), for an export that is smaller and faster.

Only channels inside a block go, which nothing but the next convolution reads. What the removed ones added on average is
kept in the bias of that convolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from timm.models._efficientnet_blocks import EdgeResidual, InvertedResidual
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from pipeline.detector.models.channels import channel_worth, keep_channels
from pipeline.detector.models.detector import Detector

MULTIPLE = 8
"""Channels that stay come in so many, which processors work on at once."""
_CHAINS: dict[type[nn.Module], tuple[tuple[str, ...], ...]] = {
    InvertedResidual: (("conv_pw", "conv_dw", "conv_pwl"),),
    EdgeResidual: (("conv_exp", "conv_pwl"),),
    BasicBlock: (("conv1", "conv2"),),
    Bottleneck: (("conv1", "conv2"), ("conv2", "conv3")),
}
"""Convolutions of a block that follow each other; what lies between them is depthwise."""


@dataclass(frozen=True)
class _Chain:
    first: Any
    between: tuple[Any, ...]
    last: Any


@torch.no_grad()
def prune(detector: Detector, share: float, labelled: Iterable[Tensor]) -> int:
    """Take channels out of a detector's body, in place; it can no longer be saved as a model.

    Args:
        detector: On the CPU, in evaluation mode, its normalisation folded.
        share: Of the channels inside each block, 0 to below 1; those with the smallest weights go.
        labelled: Batches, Tensor[B, 3, H, W] uint8, on which the average of what goes is measured.

    Returns:
        How many channels were taken out.

    Raises:
        ValueError: The body has no blocks that this knows, or no images were given.
    """
    chains = list(_chains(detector.body))
    if not chains:
        raise ValueError(
            "Expected a body of inverted residuals or of ResNet's blocks with detector.batch_norm 'frozen' to prune, "
            f"got {detector.settings.backbone!r} with {detector.settings.batch_norm!r}"
        )
    means = mean_inputs(detector, [chain.last for chain in chains], labelled)
    return sum(_prune_chain(chain, share, means[chain.last]) for chain in chains)


def _chains(body: nn.Module) -> Iterator[_Chain]:
    for block in body.modules():
        for names in _CHAINS.get(type(block), ()):
            layers = [getattr(block, name) for name in names]
            if _is_plain(block) and all(layer.bias is not None for layer in layers):
                yield _Chain(layers[0], tuple(layers[1:-1]), layers[-1])


def _is_plain(block: Any) -> bool:
    """Whether nothing else in a block counts its channels: no attention, no groups, no blurring."""
    grouped = any(isinstance(m, nn.Conv2d) and 1 < m.groups < m.in_channels for m in block.modules())
    return not grouped and all(isinstance(getattr(block, name, None), nn.Identity | None) for name in ("se", "aa"))


def mean_inputs(detector: Detector, layers: Sequence[nn.Module], batches: Iterable[Tensor]) -> dict[nn.Module, Tensor]:
    """Tensor[C] for each layer of a body: the channels of its input on average, over places and images.

    Raises:
        ValueError: No images were given.
    """
    sums: dict[nn.Module, Tensor] = {}

    def add(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sums[layer] = sums.get(layer, torch.zeros(())) + inputs[0].mean((0, 2, 3))

    count = 0
    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_pre_hook(add).remove)
        for batch in batches:
            detector.body(detector.network.transform(batch)[0].tensors)
            count += 1
    if not count:
        raise ValueError("Expected labelled images to measure the backbone on, found none")
    return {layer: total / count for layer, total in sums.items()}


def _prune_chain(chain: _Chain, share: float, means: Tensor) -> int:
    channels: int = chain.first.out_channels
    stay: int = max(MULTIPLE, round(channels * (1 - share) / MULTIPLE) * MULTIPLE)
    if stay >= channels:
        return 0
    worth = channel_worth(chain.first, chain.last)
    kept = worth.argsort(descending=True, stable=True)[:stay].sort().values
    gone = torch.ones(channels, dtype=torch.bool).index_fill_(0, kept, False)
    chain.last.bias += chain.last.weight[:, gone].sum((2, 3)) @ means[gone]
    keep_channels(chain.first, chain.between, chain.last, kept)
    return channels - stay
