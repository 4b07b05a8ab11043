"""One detector that holds every path of the default body, and learns with a random one at each step.

Single-path training of Single Path One-Shot (arXiv 1904.00420), as DetNAS has it for detectors (arXiv 1903.10979).
There a supernet of ShuffleNet blocks is pretrained on ImageNet first; here paths are depths and widths of a body whose
ImageNet weights come along.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pipeline.detector.models.bodies.paths import kept_channels, rank_channels
from pipeline.detector.models.detector import Detector
from pipeline.detector.search.space import WHOLE, random_path
from pipeline.settings import PathSettings


class ElasticBlock(nn.Module):
    """An inverted residual of which a part is used, or none.

    Args:
        block: The whole.
        ranked: Its inner channels, those that stay longest first.

    Attributes:
        width: Share of the inner channels that is used; 0: it is skipped.
    """

    def __init__(self, block: nn.Module, ranked: Tensor) -> None:
        super().__init__()
        self.block: Any = block
        self.register_buffer("ranked", ranked, persistent=False)
        self.width = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Tensor[B, C, H, W] to as many channels as the whole block gives."""
        if self.width == 0:
            return x
        if self.width == 1:
            whole: Tensor = self.block(x)
            return whole
        kept = kept_channels(self.get_buffer("ranked"), self.width)
        weights = {
            f"{name}.{part}": getattr(getattr(self.block, name), part)[kept]
            for name in ("conv_pw", "conv_dw")
            for part in ("weight", "bias")
        }
        weights["conv_pwl.weight"] = self.block.conv_pwl.weight[:, kept]
        groups, self.block.conv_dw.groups = self.block.conv_dw.groups, len(kept)
        try:
            narrow: Tensor = functional_call(self.block, weights, (x,))
        finally:
            self.block.conv_dw.groups = groups
        return narrow


@contextmanager
def elastic(detector: Detector) -> Iterator[None]:
    """Let a detector learn with a path of its body drawn at every pass, and detect with the whole body.

    A path is drawn from torch's generator, which a run of fine-tuning seeds at every step; so there is one per step, or
    per part of its batch with `training.accumulate`.

    Args:
        detector: With the default body, its normalisation folded; as it was afterwards, but for what it learnt.
    """
    body: Any = detector.body
    for name, ranked in rank_channels(body).items():
        body.set_submodule(name, ElasticBlock(body.get_submodule(name), ranked))
    hook = body.register_forward_pre_hook(_draw_path)
    try:
        yield
    finally:
        hook.remove()
        for name, block in [(name, each) for name, each in body.named_modules() if isinstance(each, ElasticBlock)]:
            body.set_submodule(name, block.block)


def use_path(body: Any, path: PathSettings) -> None:
    """Let an elastic body use this path from now on."""
    for stage, (depth, width) in enumerate(zip(path.depths, path.widths, strict=True), start=1):
        for place, block in enumerate(body.blocks[stage]):
            block.width = width if place < depth else 0.0


def _draw_path(body: nn.Module, _inputs: object) -> None:
    if body.training:
        drawn = int(torch.randint(2**31, ()))
        use_path(body, random_path(np.random.default_rng(drawn)))
    else:
        use_path(body, WHOLE)
