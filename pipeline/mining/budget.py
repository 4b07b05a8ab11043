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

    def spend(self, wanted: Flags, prices: NDArray[np.float64]) -> Flags:
        """Pay for what is wanted, the first ones first, as far as it reaches.

        Args:
            wanted: bool[N].
            prices: float[N], detection passes.

        Returns:
            bool[N], what was paid for.
        """
        spent = np.cumsum(np.where(wanted, prices, 0.0))
        paid: Flags = wanted & (spent <= self._left)
        self._left -= float(prices[paid].sum())
        return paid
