"""What things are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

Color = tuple[float, float, float]
"""Linear red, green and blue, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Material:
    """How a surface answers to light.

    Attributes:
        color: Reflected share of the light.
        metallic: Reflects its surroundings in its own color instead of scattering light.
        gloss: Sharpness of highlights, 0 = matt, 1 = polished.
        wear: Strength of blotches: dirt, rust, fingerprints.
        grain: Strength of fine scratches.
    """

    color: Color
    metallic: bool = False
    gloss: float = 0.3
    wear: float = 0.1
    grain: float = 0.0


STEEL = Material((0.50, 0.51, 0.53), True, 0.6, 0.15, 0.10)
ZINC = Material((0.66, 0.68, 0.71), True, 0.7, 0.10, 0.06)
YELLOW_ZINC = Material((0.66, 0.55, 0.33), True, 0.6, 0.25, 0.06)
BRASS = Material((0.70, 0.50, 0.20), True, 0.7, 0.15, 0.08)
COPPER = Material((0.70, 0.36, 0.22), True, 0.7, 0.15, 0.06)
BLACK_OXIDE = Material((0.10, 0.10, 0.11), True, 0.5, 0.15, 0.10)
CAST_IRON = Material((0.27, 0.26, 0.26), True, 0.3, 0.25, 0.25)
RUSTED = Material((0.27, 0.15, 0.09), True, 0.15, 0.55, 0.25)
RUBBER = Material((0.025, 0.025, 0.028), False, 0.35, 0.1)
NYLON = Material((0.62, 0.64, 0.66), False, 0.4, 0.05)
BLUE_NYLON = Material((0.05, 0.13, 0.42), False, 0.4, 0.05)
DARK_PLASTIC = Material((0.03, 0.03, 0.035), False, 0.45, 0.1)
PALE_WOOD = Material((0.58, 0.40, 0.22), False, 0.1, 0.2, 0.2)
PAPER = Material((0.72, 0.70, 0.64), False, 0.05, 0.08)

_METALS = (STEEL, ZINC, YELLOW_ZINC, BRASS, COPPER, BLACK_OXIDE, CAST_IRON, RUSTED)
_METAL_SHARES = (0.26, 0.22, 0.10, 0.13, 0.04, 0.12, 0.06, 0.07)


def pick_metal(rng: Generator) -> Material:
    """Draw a metal; every part and the clutter share them, so that color gives no class away."""
    return _METALS[rng.choice(len(_METALS), p=_METAL_SHARES)]


def pick_plastic(rng: Generator) -> Material:
    """Draw a plastic of a strong color."""
    color = rng.uniform(0.02, 0.2, 3)
    color[rng.integers(3)] = rng.uniform(0.2, 0.5)
    if rng.random() < 0.3:
        color[rng.integers(3)] = rng.uniform(0.2, 0.5)
    red, green, blue = (float(value) for value in np.round(color, 3))
    return Material((red, green, blue), False, 0.4, 0.1)
