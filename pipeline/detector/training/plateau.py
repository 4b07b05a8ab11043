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

    What counts is an average over the last looks, since one look at a few held-back images is mostly noise, and only a
    rise that is no crumb of that noise, since crumbs go on for ever; and patience grows with the run, since what took
    long to come may take as long to come again.

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
        waited = done - self._last_rise(looks)
        return done >= self._settings.min_steps and waited >= self._settings.patience * done

    def _last_rise(self, looks: Sequence[Look]) -> int:
        """The step at which the average last rose."""
        size, scores = self._settings.smoothing, [look.score for look in looks]
        highest, at = scores[0], looks[0].step
        for end in range(2, len(scores) + 1):
            average = fmean(scores[max(0, end - size) : end])
            if average >= highest + self._settings.least_rise:
                highest, at = average, looks[end - 1].step
        return at
