"""What an answer is expected to take of a person's time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.artefacts import CycleHarvest
from pipeline.selection.pool import Pool, Values
from pipeline.selection.showing import seconds_to_keep
from pipeline.settings import SecondsSettings


@dataclass(frozen=True)
class Costs:
    """Seconds of a person.

    Attributes:
        look: For an image, whatever is on it.
        draw: For an object without a shown box.
        keep: For a shown box that is right, as often moved as people have moved such boxes so far.
        delete: For a shown box that is wrong.
    """

    look: float
    draw: float
    keep: float
    delete: float

    @classmethod
    def of(cls, seconds: SecondsSettings, harvest: CycleHarvest | None) -> Costs:
        """Read them off the settings and what people did so far; None for nothing."""
        return cls(seconds.look, seconds.draw, seconds_to_keep(seconds, harvest), seconds.delete)

    def expected(self, pool: Pool, missed: Values) -> Values:
        """Expect the seconds that each image of the pool takes.

        Args:
            pool: The candidates.
            missed: float[K], expected number of objects that no shown box covers.

        Returns:
            float[K], a second and more: nobody answers faster.
        """
        right, shown = pool.by_image(pool.column("p_correct"), pool.shown)
        seconds = self.look + missed * self.draw + right * self.keep + (shown - right) * self.delete
        return np.maximum(seconds, 1.0)
