"""What the next answers are expected to bring and to cost, read off the cycles so far: when to stop asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artefacts.evaluation import Interval
from pipeline.report.contents import Turn, measured
from pipeline.report.wording import duration, plural

MOST_IMAGES = 100
"""Of which the outlook speaks, and of no more than have taught so far: a curve tells little beyond twice its length."""
RECENT = 6
"""Cycles that count: what early labels brought says little of what late ones will."""
LEAST = 3
"""Cycles with different numbers of labelled images that a line needs."""
_SPREAD = 0.015
"""mAP: how far two detectors that learnt from the same labels usually lie apart; what is believed before looking."""
_BELIEF = 3.0
"""Worth so many cycles."""
_COVERED = 0.8


@dataclass(frozen=True, slots=True)
class Outlook:
    """What `images` more answers are expected to bring.

    Attributes:
        images: How many.
        gain: Of mAP, expected.
        interval: Of the gain; four times in five, or more often, it lies within.
        hours: Time of people, at the pace so far; None where that is unknown.
    """

    images: int
    gain: float
    interval: Interval
    hours: float | None


def outlook(turns: Sequence[Turn]) -> Outlook | None:
    """Extend the learning curve of the last cycles.

    What mAP lacks of 1 is taken to fall by a power of the number of images that teach, as it does on learning curves; a
    Bayesian line through the logarithms of the last cycles gives the gain with its uncertainty (normal-inverse-gamma,
    flat in level and slope).

    Args:
        turns: Cycles so far, ascending.

    Returns:
        What to expect; None before `LEAST` cycles with different numbers of images that teach were measured.
    """
    history = measured(turns, turns[-1].reported_split)[-RECENT:] if turns else []
    points = [(turn.taught_images, metrics.map) for turn, metrics in history if metrics.map is not None]
    taught = np.array([count for count, _ in points], dtype=np.float64)
    if len(set(taught.tolist())) < LEAST or taught.min() < 1:
        return None
    images = int(min(MOST_IMAGES, taught[-1]))
    lacking = np.maximum(1 - np.array([level for _, level in points]), _SPREAD)
    slope, error, freedom = _line(np.log(taught), np.log(lacking), _SPREAD / lacking[-1])
    from scipy.stats import t  # half a second that pages without an outlook need not wait for

    reach = float(t.ppf(0.5 + _COVERED / 2, freedom)) * error
    grown = np.log((taught[-1] + images) / taught[-1])
    low, gain, high = (float(lacking[-1] * -np.expm1(power * grown)) for power in (slope + reach, slope, slope - reach))
    return Outlook(images, gain, (low, high), _hours(turns, images))


def outlook_line(turns: Sequence[Turn]) -> str:
    """The outlook in one sentence, without any untrusted text; empty where nothing can be said yet."""
    seen = outlook(turns)
    if seen is None:
        return ""
    low, high = (100 * end for end in seen.interval)
    cost = f" for {duration(seen.hours * 3600)} of people's time" if seen.hours is not None else ""
    advice = "" if high > 1 else "; labels of another kind, or a larger detector, may bring more"
    return (
        f"Another {plural(seen.images, 'answered image')} are expected to change mAP by "
        f"{_points(low)} to {_points(high)} points{cost}{advice}"
    )


def _points(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _line(x: NDArray[np.float64], y: NDArray[np.float64], spread_of_y: float) -> tuple[float, float, float]:
    """Slope of a line, its standard error and the degrees of freedom, with what is believed of the spread before."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    residuals = y - y.mean() - slope * centred
    freedom = _BELIEF + len(x) - 2
    variance = (_BELIEF * spread_of_y**2 + float(residuals @ residuals)) / freedom
    return slope, float(np.sqrt(variance / spread)), freedom


def _hours(turns: Sequence[Turn], images: int) -> float | None:
    """Time that so many answers take at the pace of all answers so far that state theirs."""
    timed = [(turn.hours, turn.answered_images) for turn in turns if turn.hours is not None and turn.answered_images]
    answered = sum(count for _, count in timed)
    return images * sum(hours for hours, _ in timed) / answered if answered else None
