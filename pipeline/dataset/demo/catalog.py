"""What can lie on the bench, how often and how large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pipeline.dataset.demo import clutter, fasteners, mechanics
from pipeline.dataset.demo.relief import Grid, Layer


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing.

    Attributes:
        draw: Draws it into a grid; each call draws another specimen.
        share: How often it is chosen, relative to the others of its list.
        half_length_px: Smallest and largest half length at a camera distance of 1.
        label: Class name; empty for clutter.
    """

    draw: Callable[[Grid, Generator], list[Layer]]
    share: float
    half_length_px: tuple[float, float]
    label: str = ""


PARTS = (
    Kind(fasteners.draw_bolt, 0.26, (26, 46), "bolt"),
    Kind(fasteners.draw_nut, 0.22, (12, 20), "nut"),
    Kind(fasteners.draw_washer, 0.20, (12, 23), "washer"),
    Kind(mechanics.draw_key, 0.14, (26, 42), "key"),
    Kind(mechanics.draw_gear, 0.11, (17, 34), "gear"),
    Kind(mechanics.draw_spring, 0.07, (20, 38), "spring"),
)
"""The labeled classes; the rarest is about a quarter as frequent as the most common."""

CLUTTER = (
    Kind(clutter.draw_stud, 1.0, (14, 40)),
    Kind(clutter.draw_nail, 1.0, (20, 42)),
    Kind(clutter.draw_coin, 1.0, (10, 19)),
    Kind(clutter.draw_o_ring, 1.0, (10, 24)),
    Kind(clutter.draw_knob, 0.8, (12, 24)),
    Kind(clutter.draw_bracket, 0.8, (24, 46)),
    Kind(clutter.draw_pencil, 0.5, (45, 80)),
    Kind(clutter.draw_cable, 1.0, (24, 55)),
    Kind(clutter.draw_shaving, 1.2, (14, 34)),
    Kind(clutter.draw_hex_key, 0.7, (26, 48)),
    Kind(clutter.draw_label, 0.5, (24, 55)),
)
"""What lies about and is never labeled."""


_EMPTY_SHARE = 0.04
_MOST_PARTS = 9


def choose_things(difficulty: float, rng: Generator) -> list[Kind]:
    """Choose what lies on one bench.

    Args:
        difficulty: Scales the clutter, 0 to 1.
        rng: Source of the choice.

    Returns:
        Clutter and parts in the order in which they are laid down: 1 to 9 parts, or none in one image of 25.
    """
    things = _choose(CLUTTER, rng.poisson(0.5 + 5 * difficulty), rng)
    if rng.random() >= _EMPTY_SHARE:
        things += _choose(PARTS, 1 + rng.binomial(_MOST_PARTS - 1, rng.uniform(0.1, 0.8)), rng)
    return [things[number] for number in rng.permutation(len(things))]


def _choose(kinds: Sequence[Kind], count: int, rng: Generator) -> list[Kind]:
    shares = np.array([kind.share for kind in kinds])
    return [kinds[number] for number in rng.choice(len(kinds), count, p=shares / shares.sum())]
