"""A miner over images of squares, and pools of them."""

import numpy as np

from pipeline.mining.miner import Miner
from pipeline.settings import MiningSettings
from tests.mining.squares import SquareFinder, empty_hosts, image, save_image

PLACES = ["proposal_id", "host_id", "paste_x1", "paste_y1", "paste_x2", "paste_y2", "scale", "hit"]


WINDOW_PX = 8
"""Windows of these small hosts."""


def miner(*, into=None, finder=None, seed=0, **settings):
    settings = MiningSettings(**{"window_px": WINDOW_PX, **settings})
    return Miner(finder or SquareFinder(), into or empty_hosts(), settings, model_id="m1", seed=seed)


def squares_of(seed, count=3):
    """Objects side by side, each of its own brightness."""
    random = np.random.default_rng(seed)
    return [
        (4 + 20 * i, 6, 4 + 20 * i + int(random.integers(8, 14)), 6 + int(random.integers(8, 30)), 1 + (seed + i) % 3,
         int(random.integers(120, 255)))
        for i in range(count)
    ]  # fmt: skip


def pool(folder, count=7, size=(64, 48)):
    """Images with 0, 1, 2, 3, 0, ... objects."""
    return [
        save_image(folder, f"pool{number}", image(*squares_of(number, number % 4), size=size, seed=number))
        for number in range(count)
    ]


class Only:
    """Gives boxes of some classes an augmented view and a close-up, and pastes those of some classes."""

    def __init__(self, closer=(), pasted=(), budget=None, look_budget=None):
        self.closer, self.pasted = set(closer), set(pasted)
        self.budget, self.look_budget = budget, look_budget

    def looks(self, evidence):
        return np.isin(evidence["label"].to_numpy(zero_copy_only=False).astype(str), list(self.closer))

    def worth(self, evidence):
        pasted = np.isin(evidence["label"].to_numpy(zero_copy_only=False).astype(str), list(self.pasted))
        return np.where(pasted, evidence["score"].to_numpy(), np.nan)


def by_id(table):
    keys = [(name, "ascending") for name in PLACES if name in table.column_names]
    return table.combine_chunks().sort_by(keys)
