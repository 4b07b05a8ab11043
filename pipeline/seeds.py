"""Random streams that depend on nothing but the settings' seed and what they are for."""

from __future__ import annotations

import hashlib

import numpy as np


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


def cycle_seed(seed: int, cycle: int) -> int:
    """What drives the training run of a cycle."""
    return derive_seed(seed, "cycle", cycle) % 2**31
