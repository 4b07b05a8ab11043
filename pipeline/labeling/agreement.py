"""Whether what a person says about a box is what the machine said."""

from __future__ import annotations

from collections.abc import Sequence

from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.records import Box, Source


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
