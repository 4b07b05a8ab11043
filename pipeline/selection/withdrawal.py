"""Whether a class keeps its certificate: what people find in blind audits can take it away, and give it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.artefacts import AuditCount, ClassStanding
from pipeline.selection.certificates import least_boxes, lower_bound, upper_bound
from pipeline.settings import SelectionSettings


def next_standing(
    before: ClassStanding,
    audits: Mapping[int, AuditCount],
    settings: SelectionSettings,
    *,
    cycle: int,
    objects: int,
) -> ClassStanding:
    """Hear what people found.

    A class fails where, by Clopper-Pearson and with the stated confidence, fewer of its audited pseudo-labels are right
    than was promised. Boxes count as if each stood alone and the figures are looked at in every cycle, which both
    withdraw rather too soon than too late. A withdrawn class comes back when audits since then certify the promise
    anew, or when so many held-back objects have been added as a certificate needs at least.

    Args:
        before: After the cycle before.
        audits: Audited boxes by the cycle that asked.
        settings: The promised precision, and the confidence of the judgement.
        cycle: The one under way.
        objects: Held-back objects of the class as they are now.

    Returns:
        The standing now.
    """
    target, confidence = settings.target_precision, settings.confidence
    counted = [count for asked_in, count in audits.items() if asked_in >= before.since]
    total = sum(counted, AuditCount())
    boxes, right = total.boxes, total.right
    now = replace(before, boxes=boxes, right=right)
    if before.withdrawn:
        proven = lower_bound(right, boxes, confidence) >= target
        added = objects >= before.objects + least_boxes(target, confidence)
        return (
            ClassStanding(since=cycle) if proven or added else replace(now, needed=_in_words(now, target, confidence))
        )
    if upper_bound(right, boxes, confidence) >= target:
        return now
    failed = ClassStanding(since=cycle, withdrawn_in=cycle, failed_boxes=boxes, failed_right=right, objects=objects)
    return replace(failed, needed=_in_words(failed, target, confidence))


def _in_words(one: ClassStanding, target: float, confidence: float) -> str:
    most, least = upper_bound(one.failed_right, one.failed_boxes, confidence), least_boxes(target, confidence)
    return (
        f"withdrawn in cycle {one.withdrawn_in}: people found {one.failed_right} of {one.failed_boxes} audited boxes "
        f"right, so a precision under {most:.3f} where {target:g} was promised; it comes back when blind audits "
        f"certify {target:g} anew ({one.right} of {one.boxes} right since; {least} without an error would do) "
        f"or with {least} more held-back objects of the class"
    )
