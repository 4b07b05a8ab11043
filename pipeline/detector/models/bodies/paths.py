"""Paths of the default body: some of the blocks of each stage, and some of the channels inside them.

The first block of a stage changes the map and stays. Of the channels, those with the largest weights stay, so that a
narrower path is a part of every wider one. The first ones, which slicing usually takes, would be any in weights that
were trained at full width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from timm.layers import make_divisible  # type: ignore[attr-defined]
from timm.models._efficientnet_blocks import InvertedResidual
from torch import Tensor, nn

from pipeline.detector.models.channels import channel_worth, keep_channels
from pipeline.settings import PathSettings


@torch.no_grad()
def rank_channels(body: nn.Module) -> dict[str, Tensor]:
    """Numbers of the channels inside each inverted residual, by its name; those with the largest weights first."""
    return {
        name: channel_worth(block.conv_pw, block.conv_pwl).argsort(descending=True, stable=True)
        for name, block in body.named_modules()
        if isinstance(block, InvertedResidual)
    }


def kept_channels(ranked: Tensor, width: float) -> Tensor:
    """Those of the ranked channels that stay at a width, ascending; so many that eight divides them."""
    count: int = make_divisible(width * len(ranked))  # type: ignore[no-untyped-call]
    return ranked[:count].sort().values


def take_path(body: Any, path: PathSettings, ranked: Mapping[str, Tensor] | None = None) -> None:
    """Leave a path of the default body, in place; of full depth and width nothing is changed.

    Args:
        body: EfficientNet-Lite0, its normalisation folded.
        path: What stays.
        ranked: As `rank_channels` says; by the body's own weights for None.
    """
    ranked = rank_channels(body) if ranked is None else ranked
    for stage, (depth, width) in enumerate(zip(path.depths, path.widths, strict=True), start=1):
        body.blocks[stage] = body.blocks[stage][:depth]
        for number, block in enumerate(body.blocks[stage]):
            narrow(block, kept_channels(ranked[f"blocks.{stage}.{number}"], width))


def narrow(block: Any, kept: Tensor) -> None:
    """Take the other channels out of an inverted residual, in place."""
    if len(kept) < block.conv_pw.out_channels:
        keep_channels(block.conv_pw, [block.conv_dw], block.conv_pwl, kept)
