"""Boxes as a file states them become boxes of the displayed image, or faults that name them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from torch import Tensor

from pipeline import boxes as geometry
from pipeline.dataset.formats.entry import Entry, EntryBox
from pipeline.dataset.images import ImageFacts
from pipeline.dataset.orientation import displayed_boxes
from pipeline.records import Box, Region, Source, make_box_id

_ROUNDING_PX = 0.05
"""Formats round to a few decimals: a box that is over the edge by less is cut without a word."""


@dataclass(frozen=True, slots=True)
class CheckedBoxes:
    """The boxes of one image after the checks.

    Attributes:
        boxes: Ordinary boxes, inside the image.
        ignore: Crowds and difficult objects, inside the image.
        faults: (problem, detail) of boxes that cannot be used; not empty means that the image is quarantined.
        repairs: (problem, detail) of boxes that were turned, cut at the edge or left out as repeated or too small.
    """

    boxes: tuple[Box, ...] = ()
    ignore: tuple[Region, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()
    repairs: tuple[tuple[str, str], ...] = ()


def check_boxes(entry: Entry, facts: ImageFacts, min_box_px: float, now: datetime) -> CheckedBoxes:
    """Carry boxes to the displayed image, cut them at its edge and find those that cannot be used.

    A stated size that fits the stored but not the displayed image shows that the boxes were drawn before EXIF
    rotation; they are turned with the image. Where both fit (a square image, a mirrored one) or no size is
    stated, the boxes are taken to be those of the displayed image, which is what labeling tools show.

    Args:
        entry: The image's boxes and its stated size.
        facts: What the image is.
        min_box_px: A box with a shorter side, after cutting, is left out: a slip of the mouse is no reason to lose
            the other boxes of the image.
        now: Creation time of the boxes, UTC.

    Returns:
        Boxes with source `import`, regions, faults and repairs.
    """
    corners = geometry.as_boxes([(box.x1, box.y1, box.x2, box.y2) for box in entry.boxes])
    shown, raw = (facts.width, facts.height), (facts.raw_width, facts.raw_height)
    if entry.relative:
        return _within(entry, geometry.scale(corners, *shown), facts, min_box_px, now)
    if _states(entry, shown):
        return _within(entry, corners, facts, min_box_px, now)
    if _states(entry, raw):
        turned = displayed_boxes(corners, *raw, facts.orientation)
        checked = _within(entry, turned, facts, min_box_px, now)
        note = f"boxes of the stored image ({raw[0]} x {raw[1]}) turned by EXIF orientation {facts.orientation}"
        return replace(checked, repairs=(("converted", note), *checked.repairs))
    detail = f"the annotation states {entry.width} x {entry.height} pixels, the image has {shown[0]} x {shown[1]}"
    return CheckedBoxes(faults=(("size_mismatch", detail),))


def _states(entry: Entry, size: tuple[int, int]) -> bool:
    return entry.width in (None, size[0]) and entry.height in (None, size[1])


def _within(entry: Entry, corners: Tensor, facts: ImageFacts, min_box_px: float, now: datetime) -> CheckedBoxes:
    size = (facts.width, facts.height)
    cut = geometry.clip(corners, *size)
    rows = list(zip(entry.boxes, corners.tolist(), cut.tolist(), strict=True))
    faults = [fault for box, stated, _ in rows if (fault := _fault(box, stated, size))]
    if faults:
        return CheckedBoxes(faults=tuple(faults))
    large = geometry.is_valid(cut, *size, min_box_px - _ROUNDING_PX)
    repairs = [_too_small(*rows[i], min_box_px) for i in _places(~large)]
    repairs += [
        ("box_clipped", f"{_name(box, stated)} was cut at the edge of the image of {size[0]} x {size[1]} pixels")
        for box, stated, _ in (rows[i] for i in _places(large & ((corners - cut).abs() > _ROUNDING_PX).any(1)))
    ]
    boxes: dict[str, Box] = {}
    # COCO and VOC write a region that concerns every class once a class, so that repeated regions are no fault.
    ignore: dict[Region, None] = {}
    for box, _, (x1, y1, x2, y2) in (rows[i] for i in _places(large)):
        if box.ignore:
            ignore[Region(x1, y1, x2, y2, box.ignore)] = None
            continue
        box_id = make_box_id(facts.image_id, box.label, (x1, y1, x2, y2), Source.IMPORT)
        if box_id in boxes:
            repairs.append(("box_repeated", f"{_name(box, (x1, y1, x2, y2))} is there twice; one is kept"))
        boxes[box_id] = Box(box_id, x1, y1, x2, y2, box.label, Source.IMPORT, created_at=now)
    return CheckedBoxes(tuple(boxes.values()), tuple(ignore), repairs=tuple(repairs))


def _places(mask: Tensor) -> list[int]:
    return cast(list[int], mask.nonzero().flatten().tolist())


def _fault(box: EntryBox, stated: Sequence[float], size: tuple[int, int]) -> tuple[str, str] | None:
    """What shows that the file is wrong and not only a box of it, None for nothing."""
    x1, y1, x2, y2 = stated
    if not all(map(math.isfinite, stated)):
        return "box_invalid", f"{_name(box, stated)} has a corner that is not a finite number"
    if x2 < x1 or y2 < y1:
        return "box_invalid", f"{_name(box, stated)} is inverted, expected x1 < x2 and y1 < y2"
    if x1 >= size[0] or y1 >= size[1] or x2 <= 0 or y2 <= 0:
        return "box_outside", f"{_name(box, stated)} lies outside the image of {size[0]} x {size[1]} pixels"
    return None


def _too_small(box: EntryBox, stated: Sequence[float], cut: Sequence[float], min_box_px: float) -> tuple[str, str]:
    return "box_too_small", (
        f"{_name(box, stated)} covers {cut[2] - cut[0]:g} x {cut[3] - cut[1]:g} pixels of the image and was left out, "
        f"expected at least {min_box_px:g} on each side (data.min_box_px)"
    )


def _name(box: EntryBox, corners: Sequence[float]) -> str:
    return f"{box.where} ({box.label}) at ({', '.join(f'{value:g}' for value in corners)})"
