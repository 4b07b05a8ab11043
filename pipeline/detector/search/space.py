"""What a search chooses from, depth and width of each stage of the default body, and how paths are drawn and varied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.settings import PathSettings
from pipeline.settings.detector import STAGE_BLOCKS

WIDTHS = (0.5, 0.75, 1.0)
WHOLE = PathSettings()
_STAGES = len(STAGE_BLOCKS)
_CHOICES: tuple[tuple[float, ...], ...] = (
    *(tuple(range(1, blocks + 1)) for blocks in STAGE_BLOCKS),
    *(WIDTHS for _ in STAGE_BLOCKS),
)
"""Of each gene: the depths of the stages, then their widths."""


def random_path(rng: np.random.Generator) -> PathSettings:
    """Draw each depth and width, all as likely."""
    return _path([_drawn(choices, rng) for choices in _CHOICES])


def mutated(path: PathSettings, probability: float, rng: np.random.Generator) -> PathSettings:
    """Draw each depth and width anew with a probability."""
    genes = zip((*path.depths, *path.widths), _CHOICES, strict=True)
    return _path([_drawn(choices, rng) if rng.random() < probability else gene for gene, choices in genes])


def crossed(first: PathSettings, second: PathSettings, rng: np.random.Generator) -> PathSettings:
    """Take each depth and width of one of two paths."""
    pairs = zip((*first.depths, *first.widths), (*second.depths, *second.widths), strict=True)
    return _path([pair[int(rng.integers(2))] for pair in pairs])


def _drawn(choices: Sequence[float], rng: np.random.Generator) -> float:
    return choices[int(rng.integers(len(choices)))]


def _path(genes: Sequence[float]) -> PathSettings:
    return PathSettings(depths=tuple(map(int, genes[:_STAGES])), widths=tuple(genes[_STAGES:]))
