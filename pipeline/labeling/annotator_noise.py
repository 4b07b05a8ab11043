"""How a simulated person draws: the true boxes, some of them missed, moved or mislabeled, over those of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes, clip, shift
from pipeline.labeling.feedback.agreement import begun_as, sources_of
from pipeline.records import Box, Source, Task

_LEAST_MOVE, _MOST_MOVE = 0.15, 0.3
_TAKEN_UP_IOU = 0.5


def draw(
    truth: Sequence[Box], task: Task, labels: Sequence[str], error_rate: float, generator: np.random.Generator
) -> list[Box]:
    """Draw the true boxes as a person would.

    Each box goes wrong with probability `error_rate`, in one of three ways with equal chance: it is missed; it is
    moved, by 15 to 30 percent of its sides along both (which leaves an IoU of about 0.3 to 0.6); or it gets another
    class, drawn evenly. With a single class nothing can be mislabeled, and the other two ways share the chance.

    Args:
        truth: The true boxes.
        task: What the person sees.
        labels: Class names.
        error_rate: 0 to 1.
        generator: Decides which boxes go wrong, and how.

    Returns:
        What the person means, in the order of the truth.
    """
    drawn: list[Box] = []
    for box in truth:
        wrong = generator.random() < error_rate
        meant = _mistake(box, task, labels, generator) if wrong else box
        drawn += [meant] if meant is not None else []
    return drawn


def claim(drawn: Sequence[Box], shown: Sequence[Box], accepted_iou: float) -> list[Box]:
    """Tell what a person draws by changing the machine's boxes from what is drawn anew.

    A box that overlaps one of the machine's by half is that box taken up, each at most once and as many as overlap
    most; boxes of the same class go first.

    Args:
        drawn: What the person means.
        shown: The machine's boxes.
        accepted_iou: With the same label and at least this overlap the machine's box is left as it is.

    Returns:
        The drawn boxes, in order: `accepted` with the machine's corners, `corrected`, or `human`; the first two with
        what the machine said of the box that they began as.
    """
    boxes = [replace(box, source=Source.HUMAN) for box in drawn]
    for i, j, source in judged_pairs(drawn, shown, accepted_iou):
        x1, y1, x2, y2 = (shown[j] if source is Source.ACCEPTED else drawn[i]).xyxy
        boxes[i] = begun_as(replace(drawn[i], source=source, x1=x1, y1=y1, x2=x2, y2=y2), shown[j])
    return boxes


def verdicts(drawn: Sequence[Box], shown: Sequence[Box], accepted_iou: float) -> tuple[tuple[str, str], ...]:
    """Tell what becomes of the machine's boxes, as `claim` has it.

    Returns:
        For each shown box, in order: its label, and `accepted`, `corrected` or `deleted`.
    """
    kept = {j: str(source) for _, j, source in judged_pairs(drawn, shown, accepted_iou)}
    return tuple((box.label, kept.get(j, "deleted")) for j, box in enumerate(shown))


def deleted(drawn: Sequence[Box], shown: Sequence[Box], accepted_iou: float) -> tuple[Box, ...]:
    """The machine's boxes that a person does not take up, as `claim` has it, in order."""
    kept = {j for _, j, _ in judged_pairs(drawn, shown, accepted_iou)}
    return tuple(box for j, box in enumerate(shown) if j not in kept)


def judged_pairs(drawn: Sequence[Box], shown: Sequence[Box], accepted_iou: float) -> list[tuple[int, int, Source]]:
    """Which of the machine's boxes is taken up as which drawn box, and whether as it is, as `claim` has it.

    Returns:
        (place in drawn, place in shown, `accepted` or `corrected`) of each pair.
    """
    pairs = _pairs(drawn, shown)
    sources = sources_of([drawn[i] for i, _ in pairs], [shown[j] for _, j in pairs], accepted_iou)
    return [(i, j, source) for (i, j), source in zip(pairs, sources, strict=True)]


def _pairs(drawn: Sequence[Box], shown: Sequence[Box]) -> list[tuple[int, int]]:
    overlap = box_iou(as_boxes([box.xyxy for box in drawn]), as_boxes([box.xyxy for box in shown])).numpy()
    same: NDArray[np.bool_] = np.array([box.label for box in drawn], dtype=object)[:, None] == np.array(
        [box.label for box in shown], dtype=object
    )
    worth = np.where(overlap >= _TAKEN_UP_IOU, overlap + same, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if worth[i, j] > 0]


def _mistake(box: Box, task: Task, labels: Sequence[str], generator: np.random.Generator) -> Box | None:
    others = [label for label in labels if label != box.label]
    match int(generator.integers(3 if others else 2)):
        case 0:
            return None
        case 1:
            return _moved(box, task, generator)
        case _:
            return replace(box, label=others[int(generator.integers(len(others)))])


def _moved(box: Box, task: Task, generator: np.random.Generator) -> Box:
    shares = generator.uniform(_LEAST_MOVE, _MOST_MOVE, 2) * generator.choice([-1.0, 1.0], 2)
    offset = torch.from_numpy(shares * [box.x2 - box.x1, box.y2 - box.y1]).float()
    moved = clip(shift(as_boxes(box.xyxy), offset), task.width, task.height)
    x1, y1, x2, y2 = moved[0].tolist()
    return replace(box, x1=x1, y1=y1, x2=x2, y2=y2)
