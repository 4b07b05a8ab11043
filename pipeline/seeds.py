"""Random streams that depend on nothing but the settings' seed and what they are for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def derive_seed(seed: int, *parts: str | int) -> int:
    """Make a seed for one purpose out of the settings' seed.

    Args:
        seed: The settings' seed.
        parts: What the stream is for, such as `("mixup", step)`; another purpose gives another stream.

    Returns:
        A number from 0 to 2**63 - 1, the same on every machine.
    """
    text = "|".join([str(seed), *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *parts: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose, see `derive_seed`."""
    return np.random.default_rng(derive_seed(seed, *parts))


def draw(items: Sequence[T], most: int, seed: int, purpose: str) -> list[T]:
    """Some of a sequence, drawn without replacement and in their order; all of them where there are no more."""
    drawn = numpy_generator(seed, purpose).permutation(len(items))[:most]
    return [items[index] for index in sorted(drawn.tolist())]


def cycle_seed(seed: int, cycle: int) -> int:
    """What drives the training run of a cycle."""
    return derive_seed(seed, "cycle", cycle) % 2**31
