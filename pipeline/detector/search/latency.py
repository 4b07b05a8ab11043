"""How long paths of the default body take on this processor, relative to the whole body.

It is the processor time of one thread that is measured, which other work on the machine hardly changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.detector.models.bodies.paths import kept_channels, narrow, rank_channels
from pipeline.detector.search.space import WHOLE, WIDTHS
from pipeline.settings import PathSettings

_PASSES = 15
"""Each layer has its turn in every pass; the median counts."""


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of each block at each width, which add up to those of a path.

    Attributes:
        fixed: Of what is in every path: the stem and the first stage.
        blocks: By stage, of which the first is the body's second, place in it, and width.
    """

    fixed: float
    blocks: tuple[tuple[Mapping[float, float], ...], ...]

    def share(self, path: PathSettings) -> float:
        """Seconds of a path over those of the whole body."""
        return self._seconds(path) / self._seconds(WHOLE)

    def _seconds(self, path: PathSettings) -> float:
        stages = zip(self.blocks, path.depths, path.widths, strict=True)
        return self.fixed + sum(block[width] for blocks, depth, width in stages for block in blocks[:depth])


@torch.no_grad()
def latency_table(body: Any, size_px: int) -> LatencyTable:
    """Time every block of the default body at every width, for one square image.

    Args:
        body: On the CPU, in evaluation mode.
        size_px: Side of the image.
    """
    image = _image(size_px)
    first = nn.Sequential(body.conv_stem, body.bn1, body.blocks[0])
    layers: list[Callable[[], Tensor]] = [partial(first, image)]
    x, ranked = first(image), rank_channels(body)
    for stage, blocks in enumerate(body.blocks[1:], start=1):
        for place, block in enumerate(blocks):
            for width in WIDTHS:
                narrowed: Any = deepcopy(block)
                narrow(narrowed, kept_channels(ranked[f"blocks.{stage}.{place}"], width))
                layers.append(partial(narrowed, x))
            x = block(x)
    fixed, *rest = _medians(layers)
    seconds = iter(rest)
    blocks = tuple(tuple({width: next(seconds) for width in WIDTHS} for _ in stage) for stage in body.blocks[1:])
    return LatencyTable(fixed, blocks)


@torch.no_grad()
def relative_latencies(bodies: Sequence[nn.Module], whole: nn.Module, size_px: int) -> list[float]:
    """Time bodies for one square image, each relative to the whole body in the same pass; the median of passes."""
    image = _image(size_px)
    passes = _passes([partial(body, image) for body in (whole, *bodies)])
    return [median(row[place] / row[0] for row in passes) for place in range(1, len(bodies) + 1)]


def _image(size_px: int) -> Tensor:
    return torch.zeros(1, 3, size_px, size_px).contiguous(memory_format=torch.channels_last)


def _medians(runs: Sequence[Callable[[], object]]) -> list[float]:
    return [median(column) for column in zip(*_passes(runs), strict=True)]


def _passes(runs: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Seconds of each run, in each pass; the pass before is not timed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [[_seconds(run) for run in runs] for _ in range(_PASSES + 1)][1:]
    finally:
        torch.set_num_threads(threads)


def _seconds(run: Callable[[], object]) -> float:
    began = time.thread_time()
    run()
    return time.thread_time() - began
