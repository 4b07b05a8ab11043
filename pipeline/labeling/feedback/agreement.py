"""Whether what a person says about boxes is what the machine, or another person, said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.records import Answer, Box, Region, Source, make_box_id

DISPUTED = "disputed"


def sources_of(drawn: Sequence[Box], shown: Sequence[Box], accepted_iou: float) -> list[Source]:
    """Tell accepted boxes from corrected ones.

    Args:
        drawn: Boxes that a person submitted.
        shown: For each of them, in the same order, the machine's box that it began as.
        accepted_iou: With the same label and at least this overlap a box counts as unchanged, 0 to 1.

    Returns:
        `accepted` or `corrected` for each pair; an empty list for none.
    """
    overlaps = box_iou(as_boxes([box.xyxy for box in drawn]), as_boxes([box.xyxy for box in shown])).diagonal()
    return [
        Source.ACCEPTED if person.label == machine.label and overlap >= accepted_iou else Source.CORRECTED
        for person, machine, overlap in zip(drawn, shown, overlaps.tolist(), strict=True)
    ]


def begun_as(drawn: Box, machine: Box) -> Box:
    """A person's box with what the machine said of the box that it began as."""
    return replace(
        drawn,
        score=machine.score,
        consistency=machine.consistency,
        p_correct=machine.p_correct,
        model_id=machine.model_id,
        proposal_id=machine.proposal_id,
    )


def same_boxes(first: Sequence[Box], second: Sequence[Box], iou: float) -> list[tuple[int, int, float]]:
    """Pair the boxes of two people, one with one, so that the sum of overlaps is greatest.

    Args:
        first: Boxes of one person.
        second: Boxes of another.
        iou: Least overlap of a pair, 0 to 1; boxes of different labels or that do not touch are never a pair.

    Returns:
        (place in first, place in second, IoU) of each pair; an empty list where nothing matches.
    """
    overlaps = box_iou(as_boxes([box.xyxy for box in first]), as_boxes([box.xyxy for box in second])).numpy()
    alike = np.array([[box.label == other.label for other in second] for box in first], dtype=bool).reshape(
        overlaps.shape
    )
    worth = np.where(alike & (overlaps >= iou), overlaps, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [
        (int(row), int(column), float(worth[row, column]))
        for row, column in zip(rows, columns, strict=True)
        if worth[row, column] > 0
    ]


def agreement(first: Sequence[Box], second: Sequence[Box], iou: float) -> float:
    """How far two people agree: twice the summed IoU of their paired boxes over the number of all their boxes.

    Args:
        first: Boxes of one person.
        second: Boxes of another.
        iou: Least overlap of a pair.

    Returns:
        0 to 1, 1 for the same boxes; two empty answers agree fully.
    """
    if not first and not second:
        return 1.0
    matched = sum(overlap for _, _, overlap in same_boxes(first, second, iou))
    return 2.0 * matched / (len(first) + len(second))


def consensus(answers: Sequence[Answer], iou: float) -> Answer:
    """The boxes that more than half of the people drew, each at the mean of its corners.

    Args:
        answers: One a person, latest last, at least one, none skipped.
        iou: Least overlap of what counts as the same box.

    Returns:
        The latest answer with these boxes; what fewer people drew is ignored, neither object nor background. A box's
        source is the most frequent one, of equals the latest; everything else is the latest person's.
    """
    groups: list[list[Box]] = []
    for answer in reversed(answers):
        means = [_mean(group) for group in groups]
        partners = {place: group for place, group, _ in same_boxes(answer.boxes, means, iou)}
        for place, box in enumerate(answer.boxes):
            if place in partners:
                groups[partners[place]].append(box)
            else:
                groups.append([box])
    latest = answers[-1]
    agreed = [group for group in groups if 2 * len(group) > len(answers)]
    disputed = [Region(*_mean(group).xyxy, reason=DISPUTED) for group in groups if 2 * len(group) <= len(answers)]
    ignore = dict.fromkeys([*(region for answer in answers for region in answer.ignore), *disputed])
    notes = dict.fromkeys(note for answer in answers for note in answer.notes)
    return replace(
        latest,
        boxes=tuple(_mean(group, latest.image_id) for group in agreed),
        ignore=tuple(ignore),
        notes=tuple(notes),
    )


def _mean(group: Sequence[Box], image_id: str | None = None) -> Box:
    """One box for a group, latest first; with an id of its own for an image."""
    if len(group) == 1:
        return group[0]
    mean = np.array([box.xyxy for box in group], dtype=np.float64).mean(axis=0)
    x1, y1, x2, y2 = mean.astype(np.float32).tolist()
    ((source, _),) = Counter(box.source for box in group).most_common(1)
    latest = replace(group[0], x1=x1, y1=y1, x2=x2, y2=y2, source=source)
    if image_id is None:
        return latest
    return replace(latest, box_id=make_box_id(image_id, latest.label, latest.xyxy, str(latest.annotation_id)))
