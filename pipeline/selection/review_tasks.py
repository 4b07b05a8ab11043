"""Labelled images as questions: their labels are shown, and it is said what may be wrong with which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pipeline.records import Box, Sample, Task, TaskKind
from pipeline.selection.reasons import part_of, plural, with_article
from pipeline.selection.review_queue import ReviewQueue, SuspectRow
from pipeline.selection.suspects import Suspicion
from pipeline.selection.tasks import UNSURE_SHARE

_MOST_PIECES = 2


def review_tasks(samples: Sequence[Sample], queue: ReviewQueue, blank: Task) -> list[Task]:
    """Make a task of every image of a queue.

    Args:
        samples: The images as they are now; others of the queue are left out.
        queue: What may be wrong with them.
        blank: What all tasks share: the time of asking.

    Returns:
        Tasks, best first; the boxes are the labels, the most doubtful first, and `proposal_id` says which label each
        is.
    """
    by_id, of_image = {sample.image_id: sample for sample in samples}, queue.suspects_by_image()
    return [
        _task(by_id[row["image_id"]], row["gain"], rank, of_image[row["image_id"]], blank)
        for rank, row in enumerate(queue.images.to_pylist(), 1)
        if row["image_id"] in by_id
    ]


def in_words(row: SuspectRow) -> str:
    """Say of a label what may be wrong with it."""
    match Suspicion(row["suspicion"]):
        case Suspicion.DUPLICATE:
            return "perhaps a duplicate"
        case Suspicion.TWO_CLASSES | Suspicion.WRONG_CLASS:
            return f"perhaps {with_article(row['rival'])}"
        case Suspicion.TINY:
            return f"very small for {with_article(row['label'])}"
        case Suspicion.HUGE:
            return f"very large for {with_article(row['label'])}"
        case Suspicion.MISPLACED:
            return "perhaps not quite in place"
        case Suspicion.MISSING:
            return f"perhaps {with_article(row['label'])} without a box"
        case Suspicion.DISPUTED:
            return f"{row['rival']} has other labels"


def reason_of_review(suspects: Sequence[SuspectRow], size: tuple[int, int]) -> str:
    """The line on top of a task: what is likeliest to be wrong, first; nothing that is half as likely or less.

    Args:
        suspects: Of one image, rows of `SUSPECT_SCHEMA`.
        size: Width and height, pixels.
    """
    surest = max(row["p_wrong"] for row in suspects)
    ranked = sorted((row for row in suspects if row["p_wrong"] >= surest / 2), key=lambda row: -row["p_wrong"])
    missing = [row for row in ranked if row["suspicion"] == Suspicion.MISSING]
    pieces = [_question(row) for row in ranked if row["suspicion"] != Suspicion.MISSING]
    if missing:
        place = 0 if ranked[0] is missing[0] else 1
        pieces.insert(place, _missing(missing, size))
    return f"labels to review; {'; '.join(list(dict.fromkeys(pieces))[:_MOST_PIECES])}"


def _task(sample: Sample, gain: float, rank: int, suspects: Sequence[SuspectRow], blank: Task) -> Task:
    doubts: dict[str, SuspectRow] = {}
    for row in sorted(suspects, key=lambda row: -row["p_wrong"]):
        doubts.setdefault(row["box_id"], row)
    shown = [_shown(box, doubts.get(box.box_id)) for box in sample.boxes]
    boxes = sorted(shown, key=lambda box: box.p_correct or 0.0)
    few = boxes[: max(1, len(boxes) // UNSURE_SHARE)]
    return replace(
        blank,
        image_id=sample.image_id,
        uri=sample.uri,
        width=sample.width,
        height=sample.height,
        boxes=tuple(boxes),
        value=gain,
        reason=reason_of_review(suspects, (sample.width, sample.height)),
        kind=TaskKind.REVIEW,
        doubts={box.box_id: in_words(doubts[box.box_id]) for box in few if box.box_id in doubts},
        rank=rank,
    )


def _shown(box: Box, doubt: SuspectRow | None) -> Box:
    return replace(box, proposal_id=box.box_id, p_correct=1.0 - (doubt["p_wrong"] if doubt else 0.0))


def _question(row: SuspectRow) -> str:
    label = str(row["label"])
    match Suspicion(row["suspicion"]):
        case Suspicion.DUPLICATE:
            return f"one {label} or two?"
        case Suspicion.TWO_CLASSES | Suspicion.WRONG_CLASS:
            return f"{label} or {row['rival']}?"
        case Suspicion.MISPLACED:
            return f"{with_article(label)} not quite in place?"
        case Suspicion.DISPUTED:
            return in_words(row)
        case _:
            return f"{in_words(row)}?"


def _missing(rows: Sequence[SuspectRow], size: tuple[int, int]) -> str:
    (label, count), *others = Counter(row["label"] for row in rows).most_common()
    count, noun = (len(rows), "object") if others else (count, label)
    parts = {part_of((row["x1"], row["y1"], row["x2"], row["y2"]), size) for row in rows}
    place = f", {parts.pop()}" if len(parts) == 1 else ""
    return f"{count} {noun if count == 1 else plural(noun)} may be missed{place}"
