"""What people's time went into, and what the machine's boxes saved of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from pipeline.artefacts import TimedAnswer, TimedAnswers, TimeSaved
from pipeline.records import Answer

LEAST_ANSWERS = 10
"""Answers of each kind that a comparison needs."""


def hours_spent(answers: Sequence[Answer], known: Mapping[str, Answer]) -> float | None:
    """Sum the time that people spent.

    A changed answer states all the time spent on it, so what was counted before is taken off.

    Args:
        answers: New and changed.
        known: Answers of earlier harvests by annotation.

    Returns:
        Hours; None where no answer states its time.
    """
    spent = [
        max(0.0, answer.lead_time_s - (known[answer.annotation_id].lead_time_s or 0.0))
        if answer.annotation_id in known
        else answer.lead_time_s
        for answer in answers
        if answer.lead_time_s is not None
    ]
    return sum(spent) / 3600 if spent else None


def timed_answers(answers: Iterable[Answer], known: Mapping[str, Answer]) -> TimedAnswers:
    """Time and number of boxes of each first answer that holds boxes, apart for images shown with and without boxes."""
    with_boxes: list[TimedAnswer] = []
    without_boxes: list[TimedAnswer] = []
    for answer in answers:
        counts = not answer.skipped and answer.boxes and answer.annotation_id not in known
        if counts and answer.cycle is not None and answer.lead_time_s is not None:
            timed = TimedAnswer(answer.lead_time_s, len(answer.boxes))
            (with_boxes if answer.verdicts else without_boxes).append(timed)
    return TimedAnswers(tuple(with_boxes), tuple(without_boxes))


def time_saved(now: TimedAnswers, ever: TimedAnswers) -> TimeSaved:
    """Estimate what the machine's boxes saved: median seconds per box without them, less with them, times boxes.

    Which images are shown without boxes is drawn by chance for blind tasks and audits, and images differ: it is an
    estimate, and a negative one says that correcting takes longer than drawing.

    Args:
        now: The answers in question; only those shown with boxes can have saved time.
        ever: All answers of the project, which the medians are taken of.

    Returns:
        The estimate, or what it lacks.
    """
    seconds_with, seconds_without = _pace(ever.with_boxes), _pace(ever.without_boxes)
    answers_with, answers_without = len(ever.with_boxes), len(ever.without_boxes)
    short = {"with boxes": answers_with, "without boxes": answers_without}
    lacking = [f"{count} {kind}" for kind, count in short.items() if count < LEAST_ANSWERS]
    hours, missing = None, ""
    if lacking or seconds_with is None or seconds_without is None:
        missing = f"expected {LEAST_ANSWERS} timed answers of each kind, got {' and '.join(lacking)}"
    else:
        hours = (seconds_without - seconds_with) * sum(answer.boxes for answer in now.with_boxes) / 3600
    return TimeSaved(hours, seconds_with, seconds_without, answers_with, answers_without, missing)


def _pace(answers: Sequence[TimedAnswer]) -> float | None:
    """Median seconds per box."""
    return median(answer.seconds / answer.boxes for answer in answers) if answers else None
