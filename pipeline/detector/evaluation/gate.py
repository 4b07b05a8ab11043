"""The gate: whether a candidate replaces the champion, and which classes it forgets.

The rule. Both are measured on the same held-back images, and so on every bootstrap draw of them: the gap in mAP has
an interval of its own, which is narrower than those of the two models, since a hard image is hard for both. A
candidate is refused

- when it is surely worse: the upper end of the 95 % interval of the gap lies below 0, however small the loss is, or
- when it is worse by more than `gate_tolerance`, surely or not: few held-back images can hide a large loss, and small
  ones that nobody is sure of would add up from cycle to cycle.

With a committee the images are all that people labelled, each shown to the one member that has not learnt it, and the
committees are compared: recipe against recipe. That says nothing of the candidate itself, which has learnt them all: it
is refused where it is surely worse in them than its committee is.

Everything else passes. A class is forgotten where the upper end of its own interval lies below 0. This is reported, but
it refuses no candidate that is no worse on the whole: of forty classes that stay as they are, one is named by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.artefacts import ForgottenClass
from pipeline.detector.evaluation.bootstrap import draw_images, drawn_ap, drawn_map, interval
from pipeline.detector.evaluation.labeled_detections import Floats, LabeledDetections
from pipeline.detector.evaluation.matching import match
from pipeline.errors import DataError

FIRST, FIRST_COMMITTEE = "the first model", "the first committee"
HELD_BACK_IMAGES = "held-back images"


@dataclass(frozen=True)
class Comparison:
    """A candidate beside the champion on the same images.

    Attributes:
        candidate: Its mAP.
        champion: Its mAP.
        interval: 95 % of the difference, candidate less champion; None where it cannot be estimated.
        forgotten: Classes that the candidate forgets, the largest loss first.
    """

    candidate: float
    champion: float
    interval: tuple[float, float] | None
    forgotten: tuple[ForgottenClass, ...]

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
    ours, theirs = (drawn_ap(match(detections), counts) for detections in (candidate, champion))
    means = drawn_map(ours), drawn_map(theirs)
    columns = {label: number for number, label in enumerate(champion.labels)}
    losses = [
        _forgotten(label, ours[:, number], theirs[:, columns[label]])
        for number, label in enumerate(candidate.labels)
        if label in columns
    ]
    forgotten = sorted(filter(None, losses), key=lambda one: one.after - one.before)
    return Comparison(float(means[0][0]), float(means[1][0]), interval(means[0][1:] - means[1][1:]), tuple(forgotten))


def verdict(comparison: Comparison | None, tolerance: float, images: str = "val") -> tuple[bool, str]:
    """Decide whether a candidate replaces the champion, see the module's text.

    Args:
        comparison: None where there is no champion yet.
        tolerance: The candidate may be worse by so much mAP while nobody can be sure of it.
        images: What it was made on, for people.

    Returns:
        The decision and its reason.
    """
    if comparison is None:
        return True, FIRST
    if comparison.interval is None:
        return True, f"nothing on {images} to compare by"
    low, high = comparison.interval
    gap = f"{comparison.gap:+.3f}, 95 % {low:+.3f} to {high:+.3f}"
    summary = f"{images} mAP {comparison.candidate:.3f} against the champion's {comparison.champion:.3f} ({gap})"
    named = ", ".join(f"{loss.label} ({loss.before:.3f} to {loss.after:.3f})" for loss in comparison.forgotten)
    forgets = f"; it forgets {named}" if named else ""
    if high < 0:
        return False, f"{summary}: surely worse{forgets}"
    if comparison.gap < -tolerance:
        return False, f"{summary}: worse by more than {tolerance:g}{forgets}"
    return True, summary + forgets


def is_spoiled(by_heart: Comparison) -> bool:
    """Tell whether a candidate is surely worse in images that it learnt than its committee, which did not learn them.

    Args:
        by_heart: The candidate beside its committee.
    """
    return by_heart.interval is not None and by_heart.interval[1] < 0


def spoiled(by_heart: Comparison) -> str:
    """Why a spoiled candidate is refused."""
    return (
        f"mAP {by_heart.candidate:.3f} on labelled images, where its committee has {by_heart.champion:.3f} without "
        "having learnt them: spoiled"
    )


def _forgotten(label: str, ours: Floats, theirs: Floats) -> ForgottenClass | None:
    difference = interval(ours[1:] - theirs[1:])
    if difference is None or difference[1] >= 0:
        return None
    return ForgottenClass(label, float(theirs[0]), float(ours[0]), difference)
