"""What people's time went into, and what the machine's boxes saved of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from pipeline.records import Answer

LEAST_ANSWERS = 10
"""Answers of each kind that a comparison needs."""

Seconds = Mapping[str, Sequence[Sequence[float]]]
WITH, WITHOUT = "with_boxes", "without_boxes"


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


def seconds_and_boxes(answers: Sequence[Answer], known: Mapping[str, Answer]) -> dict[str, list[list[float]]]:
    """Time and number of boxes of each first answer that holds boxes, apart for tasks shown with and without boxes."""
    told: dict[str, list[list[float]]] = {WITH: [], WITHOUT: []}
    for answer in answers:
        counts = not answer.skipped and answer.boxes and answer.annotation_id not in known
        if counts and answer.cycle is not None and answer.lead_time_s is not None:
            told[WITH if answer.verdicts else WITHOUT].append([answer.lead_time_s, len(answer.boxes)])
    return told


def add_seconds(parts: Sequence[Seconds]) -> dict[str, list[list[float]]]:
    """Put the answers of several harvests together."""
    return {kind: [list(one) for part in parts for one in part.get(kind, [])] for kind in (WITH, WITHOUT)}


def hours_saved(now: Seconds, ever: Seconds) -> dict[str, Any]:
    """Estimate what the machine's boxes saved: median seconds a box without them, less with them, times boxes.

    Which images are shown without boxes is drawn by chance for blind tasks and audits, and images differ: it is an
    estimate, and a negative one says that correcting takes longer than drawing.

    Args:
        now: Answers that are told of; only those shown with boxes can have saved time.
        ever: All answers of the project, which the medians are taken of.

    Returns:
        `hours` (None without enough answers), `seconds_a_box` and `answers` of each kind, and `missing`, in words.
    """
    answers = {kind: len(ever[kind]) for kind in (WITH, WITHOUT)}
    pace = {kind: median(s / n for s, n in ever[kind]) if ever[kind] else None for kind in (WITH, WITHOUT)}
    short = {kind: count for kind, count in answers.items() if count < LEAST_ANSWERS}
    if short:
        found = " and ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in short.items())
        missing = f"expected {LEAST_ANSWERS} timed answers of each kind, got {found}"
        return {"hours": None, "seconds_a_box": pace, "answers": answers, "missing": missing}
    boxes = sum(count for _, count in now[WITH])
    with_boxes, without_boxes = pace[WITH] or 0.0, pace[WITHOUT] or 0.0
    return {
        "hours": (without_boxes - with_boxes) * boxes / 3600,
        "seconds_a_box": pace,
        "answers": answers,
        "missing": "",
    }
