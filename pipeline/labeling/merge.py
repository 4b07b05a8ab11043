"""Answers become labels: which one counts, and which images change by it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.records import Answer, Region, Sample, Split, State

Note = tuple[str, str]

_KEPT_REASONS = frozenset({"crowd", "difficult"})


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What answers do to the sample table.

    Attributes:
        samples: Images whose row changes, in the order of their first answers.
        counts: `answered` and `skipped` images, and how many of the answered are `empty`; changed or not.
        notes: What a person should know: (image id, what was found).
    """

    samples: tuple[Sample, ...]
    counts: dict[str, int]
    notes: tuple[Note, ...]


def merge_answers(samples: Iterable[Sample], answers: Sequence[Answer], cycle: int | None) -> MergeResult:
    """Give every answered image the labels of the answer that counts.

    The latest answer counts (by time of change, then annotation id). A skip takes no labels away: it counts only while
    nobody else has labeled the image. A labeled image from the pool is for training from then on; an image of val or
    test stays there. Crowds and difficult objects of an import stay ignored.

    Args:
        samples: Rows of the table; those without an answer are passed over.
        answers: In any order; several for one image are several people, or one person's older words.
        cycle: Written into changed rows; None between cycles.

    Returns:
        Changed rows, counts and notes. An answer that changes nothing makes no row; one for an unknown or a
        quarantined image makes a note.
    """
    by_image: dict[str, list[Answer]] = defaultdict(list)
    for answer in sorted(answers, key=lambda answer: (answer.updated_at, answer.annotation_id)):
        by_image[answer.image_id].append(answer)
    rows = {sample.image_id: sample for sample in samples if sample.image_id in by_image}
    changed: list[Sample] = []
    counts: Counter[str] = Counter(answered=0, skipped=0, empty=0)
    notes: list[Note] = []
    for image_id, given in by_image.items():
        notes += [(image_id, f"annotation {answer.annotation_id}, {note}") for answer in given for note in answer.notes]
        row = rows.get(image_id)
        if row is None or row.state is State.QUARANTINED:
            place = "the sample table" if row is None else f"use, it is quarantined: {row.note}"
            notes.append((image_id, f"answered by {given[-1].annotator}, but not in {place}"))
            continue
        counting = _counting(given, row)
        if counting is None:
            notes.append((image_id, f"skipped by {given[-1].annotator}; the labels it has are kept"))
            continue
        counts["skipped" if counting.skipped else "answered"] += 1
        counts["empty"] += not counting.skipped and not counting.boxes
        merged = _merged(row, counting, cycle)
        if _content(merged) != _content(row):
            changed.append(merged)
    return MergeResult(tuple(changed), dict(counts), tuple(notes))


def _counting(given: Sequence[Answer], row: Sample) -> Answer | None:
    """The answer that counts; None where a skip meets labels of somebody else."""
    latest = given[-1]
    if not latest.skipped:
        return latest
    labels = [answer for answer in given if not answer.skipped]
    if labels:
        return labels[-1]
    withdrawn = {answer.annotation_id for answer in given}
    others = {box.annotation_id for box in row.boxes} - withdrawn
    return None if row.state is State.LABELED and (others or not row.boxes) else latest


def _merged(row: Sample, answer: Answer, cycle: int | None) -> Sample:
    if answer.skipped:
        note = f"skipped by {answer.annotator}"
        return replace(row, state=State.SKIPPED, boxes=(), ignore=_kept_regions(row), note=note, cycle=cycle)
    return replace(
        row,
        state=State.LABELED,
        split=Split.TRAIN if row.split is Split.POOL else row.split,
        boxes=answer.boxes,
        ignore=(*_kept_regions(row), *answer.ignore),
        note="; ".join(answer.notes),
        cycle=cycle,
    )


def _kept_regions(row: Sample) -> tuple[Region, ...]:
    return tuple(region for region in row.ignore if region.reason in _KEPT_REASONS)


def _content(sample: Sample) -> tuple[object, ...]:
    """What makes a row another one; who drew the same boxes once more, and when, does not."""
    boxes = sorted((box.label, box.xyxy, str(box.source)) for box in sample.boxes)
    ignore = sorted((region.reason, region.xyxy) for region in sample.ignore)
    return (sample.state, sample.split, boxes, ignore)
