"""Seeing that a measure on held-back images no longer rises."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from pipeline.artefacts import Look
from pipeline.settings import PlateauSettings

_OFTEN = 10
"""So many looks are `every_steps` apart; whenever the run is twice as long, so is the way to the next look."""


class Plateau:
    """Tells when the learning rate may fall.

    What counts is an average over the last looks, since one look at a few held-back images is mostly noise; and
    patience grows with the run, since what took long to come may take as long to come again.

    Args:
        settings: How often to look, how to average and how long to wait.
    """

    def __init__(self, settings: PlateauSettings) -> None:
        self._settings = settings

    def is_due(self, steps_done: int) -> bool:
        """Tell whether to look now: ever less often, since patience grows with the run and a look costs the same."""
        often = self._settings.every_steps * _OFTEN
        every_steps = self._settings.every_steps * 2 ** ((steps_done - 1) // often).bit_length()
        return self._settings.enabled and steps_done % every_steps == 0

    def is_reached(self, looks: Sequence[Look]) -> bool:
        """Tell whether the smoothed measure has not risen for the set share of the steps.

        Args:
            looks: All of them so far, the last one of now.
        """
        done = looks[-1].step
        waited = done - self._best_step(looks)
        return done >= self._settings.min_steps and waited >= self._settings.patience * done

    def _best_step(self, looks: Sequence[Look]) -> int:
        size, scores = self._settings.smoothing, [look.score for look in looks]
        smoothed = [fmean(scores[max(0, end - size) : end]) for end in range(1, len(scores) + 1)]
        return looks[smoothed.index(max(smoothed))].step
