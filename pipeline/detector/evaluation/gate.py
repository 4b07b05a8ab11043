"""The gate: whether a candidate replaces the champion, and which classes it forgets.

The rule. Both are measured on the same held-back images, and so on every bootstrap draw of them: the gap in mAP has
an interval of its own, which is narrower than those of the two models, since a hard image is hard for both. A
candidate is refused

- when it is surely worse: the upper end of the 95 % interval of the gap lies below 0, however small the loss is, or
- when it is worse by more than `gate_tolerance`, surely or not: few held-back images can hide a large loss, and small
  ones that nobody is sure of would add up from cycle to cycle.

Everything else passes. A class is forgotten where the upper end of its own interval lies below 0. That is told and does
not refuse a candidate that is no worse on the whole; of forty classes that stay as they are, one is named by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.detector.evaluation.bootstrap import draw_images, drawn_ap, drawn_map, interval
from pipeline.detector.evaluation.labeled_detections import Floats, LabeledDetections
from pipeline.detector.evaluation.matching import match
from pipeline.errors import DataError

FIRST, NOTHING = "the first model", "nothing on val to compare by"


@dataclass(frozen=True)
class Drop:
    """A class that the candidate surely finds less well.

    Attributes:
        label: The class.
        before: Its AP with the champion.
        after: Its AP with the candidate.
        interval: 95 % of the difference; both ends are below 0.
    """

    label: str
    before: float
    after: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """A candidate beside the champion on the same images.

    Attributes:
        candidate: Its mAP.
        champion: Its mAP.
        interval: 95 % of the difference, candidate less champion; None where it cannot be told.
        forgotten: Classes that the candidate forgets, the largest loss first.
    """

    candidate: float
    champion: float
    interval: tuple[float, float] | None
    forgotten: tuple[Drop, ...]

    @property
    def gap(self) -> float:
        """The candidate's mAP less the champion's."""
        return self.candidate - self.champion


def compare(candidate: LabeledDetections, champion: LabeledDetections, seed: int) -> Comparison:
    """Measure two detectors on the same draws of the same images.

    Args:
        candidate: What it found.
        champion: What it found.
        seed: Of the draws.

    Returns:
        The comparison, over the classes that the images hold.

    Raises:
        DataError: The images are not the same.
    """
    if candidate.image_ids != champion.image_ids:
        raise DataError(
            f"Expected both models to be measured on the same images, got {len(candidate.image_ids)} and "
            f"{len(champion.image_ids)}: some could not be read in between. Run the gate again."
        )
    # The first row holds every image once: COCO's own numbers.
    counts = draw_images(len(candidate.image_ids), seed)
    counts[0] = 1
    ours, theirs = (drawn_ap(match(one), counts) for one in (candidate, champion))
    means = drawn_map(ours), drawn_map(theirs)
    columns = {label: number for number, label in enumerate(champion.labels)}
    drops = [
        _drop(label, ours[:, number], theirs[:, columns[label]])
        for number, label in enumerate(candidate.labels)
        if label in columns
    ]
    forgotten = sorted(filter(None, drops), key=lambda one: one.after - one.before)
    return Comparison(float(means[0][0]), float(means[1][0]), interval(means[0][1:] - means[1][1:]), tuple(forgotten))


def verdict(comparison: Comparison | None, tolerance: float) -> tuple[bool, str]:
    """Decide whether a candidate replaces the champion, see the module's text.

    Args:
        comparison: On val; None where there is no champion yet.
        tolerance: The candidate may be worse by so much mAP while nobody can be sure of it.

    Returns:
        The decision and its reason.
    """
    if comparison is None:
        return True, FIRST
    if comparison.interval is None:
        return True, NOTHING
    low, high = comparison.interval
    gap = f"{comparison.gap:+.3f}, 95 % {low:+.3f} to {high:+.3f}"
    told = f"val mAP {comparison.candidate:.3f} against the champion's {comparison.champion:.3f} ({gap})"
    named = ", ".join(f"{one.label} ({one.before:.3f} to {one.after:.3f})" for one in comparison.forgotten)
    forgets = f"; it forgets {named}" if named else ""
    if high < 0:
        return False, f"{told}: surely worse{forgets}"
    if comparison.gap < -tolerance:
        return False, f"{told}: worse by more than {tolerance:g}{forgets}"
    return True, told + forgets


def _drop(label: str, ours: Floats, theirs: Floats) -> Drop | None:
    told = interval(ours[1:] - theirs[1:])
    if told is None or told[1] >= 0:
        return None
    return Drop(label, float(theirs[0]), float(ours[0]), told)
