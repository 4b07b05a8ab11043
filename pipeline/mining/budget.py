"""What checks may still cost: the budget of the images seen so far, less what their checks have cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


class PassBudget:
    """Keeps checks within their budget, whatever share of boxes a gate finds worth one.

    The cascade plans for what it saw on the held-back images; a pool with more boxes in doubt would cost more.

    Args:
        budget: Detection passes an image; None: no limit.
    """

    def __init__(self, budget: float | None) -> None:
        self._each = np.inf if budget is None else budget
        self._left = 0.0

    def add_images(self, images: int) -> None:
        """Images were seen."""
        self._left += self._each * images if images else 0.0

    def spend(self, wanted: Flags, prices: NDArray[np.float64], worth: NDArray[np.float64] | None = None) -> Flags:
        """Pay for what is wanted, as far as it reaches.

        Args:
            wanted: bool[N].
            prices: float[N], detection passes.
            worth: float[N], the highest is paid first; by default those that come first are.

        Returns:
            bool[N], what was paid for.
        """
        order = np.arange(len(wanted)) if worth is None else np.argsort(-worth, kind="stable")
        spent = np.empty(len(wanted))
        spent[order] = np.cumsum(np.where(wanted, prices, 0.0)[order])
        paid: Flags = wanted & (spent <= self._left)
        self._left -= float(prices[paid].sum())
        return paid


class Budgets:
    """What pastes may still cost, and what augmented views and close-ups may.

    Args:
        pastes: Detection passes an image; None: no limit.
        looks: Likewise.
    """

    def __init__(self, pastes: float | None, looks: float | None) -> None:
        self.pastes, self.looks = PassBudget(pastes), PassBudget(looks)

    def add_images(self, images: int) -> None:
        """Images were seen."""
        self.pastes.add_images(images)
        self.looks.add_images(images)
