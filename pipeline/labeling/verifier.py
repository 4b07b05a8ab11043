"""How a simulated person verifies the machine's boxes one after another; what is missing is not drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.labeling.annotator_noise import judged_pairs
from pipeline.labeling.feedback.agreement import begun_as
from pipeline.records import INEXACT, UNANSWERED, Box, Region, Source, Task


@dataclass(frozen=True, slots=True)
class Verified:
    """What is said of an image.

    Attributes:
        boxes: Boxes that are right, or of another class and in place, with the machine's corners.
        ignore: Inexact boxes; the whole image where anything is missing.
        verdicts: As of `Answer`.
        deleted: Boxes that are wrong.
    """

    boxes: tuple[Box, ...]
    ignore: tuple[Region, ...]
    verdicts: tuple[tuple[str, str], ...]
    deleted: tuple[Box, ...]


def verify(drawn: Sequence[Box], task: Task, accepted_iou: float) -> Verified:
    """Say of every machine box whether it is right, and whether anything is missing beside them.

    Args:
        drawn: What the person would draw.
        task: What they see.
        accepted_iou: A box that fits so well is right, or becomes right by another class; else it is inexact.
    """
    shown = task.boxes
    meant = {j: drawn[i] for i, j, _ in judged_pairs(drawn, shown, accepted_iou)}
    kept = {j: _with_its_class(shown[j], box) for j, box in meant.items() if _fits(shown[j], box, accepted_iou)}
    inexact = tuple(Region(*shown[j].xyxy, INEXACT) for j in sorted(meant.keys() - kept.keys()))
    missing = len(meant) < len(drawn)
    whole = (Region(0.0, 0.0, float(task.width), float(task.height), UNANSWERED),) if missing else ()
    verdicts = (str(kept[j].source if j in kept else Source.CORRECTED) for j in sorted(meant))
    said = dict(zip(sorted(meant), verdicts, strict=True))
    return Verified(
        boxes=tuple(kept[j] for j in sorted(kept)),
        ignore=(*inexact, *whole),
        verdicts=tuple((box.label, said.get(j, "deleted")) for j, box in enumerate(shown)),
        deleted=tuple(box for j, box in enumerate(shown) if j not in meant),
    )


def _fits(machine: Box, meant: Box, accepted_iou: float) -> bool:
    return float(box_iou(as_boxes(machine.xyxy), as_boxes(meant.xyxy))) >= accepted_iou


def _with_its_class(machine: Box, meant: Box) -> Box:
    x1, y1, x2, y2 = machine.xyxy
    source = Source.ACCEPTED if machine.label == meant.label else Source.CORRECTED
    return begun_as(replace(meant, source=source, x1=x1, y1=y1, x2=x2, y2=y2), machine)
