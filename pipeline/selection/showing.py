"""Which machine boxes people see: the likeliest of each object, and only where correcting is cheaper than drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from pipeline.artefacts import CycleHarvest
from pipeline.boxes import as_boxes, intersection_over_first
from pipeline.records import Fate
from pipeline.selection.likeliest import is_likeliest
from pipeline.settings import SecondsSettings

ONE_OBJECT_IOU = 0.5
"""Boxes of any class that overlap so much are taken for boxes of one object."""
DUPLICATE_SHARE = 0.5
"""A box that lies by so much in a likelier one of its class may be the same object."""
ACCEPTED_BEFORE = 10
"""Right boxes that count as accepted unchanged before people have said anything."""


@dataclass(frozen=True)
class ShownBox:
    """A box that people see.

    Attributes:
        row: Of the selection.
        rival: The likeliest other class at the same place; empty for none.
        duplicate: Whether it lies in a likelier box of its class that is shown too.
    """

    row: Mapping[str, Any]
    rival: str = ""
    duplicate: bool = False

    @property
    def doubt(self) -> float:
        """How little is known of it: the variance `p (1 - p)`."""
        p = float(self.row["p_correct"])
        return p * (1.0 - p)


def shown_from(seconds: SecondsSettings, harvest: CycleHarvest | None) -> float | None:
    """Tell from which p(correct) a box saves time: `p (draw - keep) > (1 - p) delete`.

    To keep a right box takes `verify` where it stays as it is, and `adjust` where it is moved: as often as people did
    either so far.

    Args:
        seconds: What each action takes.
        harvest: What people answered lately, and what they did with the machine's boxes so far; None for nothing.

    Returns:
        Boxes of a higher p(correct) are shown. None: no box is, since keeping one takes as long as drawing it, or
        since the boxes on the images answered lately have cost time.
    """
    if harvest is not None and harvest.priced.boxes_cost_time:
        return None
    saved = seconds.draw - seconds_to_keep(seconds, harvest)
    return seconds.delete / (saved + seconds.delete) if saved > 0 else None


def seconds_to_keep(seconds: SecondsSettings, harvest: CycleHarvest | None) -> float:
    """Expect what keeping a right box takes: to verify it, or to move it as often as people did so far.

    Args:
        seconds: What each action takes.
        harvest: What people did with the machine's boxes so far; None for nothing.
    """
    treated = harvest.acceptance.total if harvest is not None else None
    accepted = ACCEPTED_BEFORE + (treated.accepted if treated else 0)
    corrected = treated.corrected if treated else 0
    return (accepted * seconds.verify + corrected * seconds.adjust) / (accepted + corrected)


def is_shown(selection: pa.Table, least: float | None) -> NDArray[np.bool_]:
    """Tell which boxes people would see.

    Args:
        selection: Columns of `SELECTION_SCHEMA`.
        least: Only boxes of a higher p(correct) are seen; None: none is.

    Returns:
        bool[N].
    """
    shown = np.zeros(len(selection), dtype=bool)
    if least is not None:
        offered = pc.not_equal(selection["fate"], Fate.DROP.value).to_numpy()
        rows = np.flatnonzero(offered & (selection["p_correct"].to_numpy() > np.float32(least)))
        shown[rows[_is_likeliest(selection, rows)]] = True
    return shown


def is_hidden(selection: pa.Table, shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which boxes are the likeliest of an object that people see no box of; dropped ones are among them.

    Args:
        selection: Columns of `SELECTION_SCHEMA`.
        shown: As of `is_shown`.

    Returns:
        bool[N].
    """
    return _is_likeliest(selection) & ~shown


def shown_boxes(selection: pa.Table, least: float | None) -> dict[str, list[ShownBox]]:
    """Gather the boxes that people see, by image.

    Args:
        selection: Columns of `SELECTION_SCHEMA`, of the images in question.
        least: As of `is_shown`.

    Returns:
        Boxes of each image that has any, the most doubtful first.
    """
    offered = selection.filter(pc.field("fate") != Fate.DROP.value)
    shown, values = is_shown(offered, least), offered.to_pylist()
    boxes: dict[str, list[ShownBox]] = {}
    for rows in _rows_by_image(offered):
        seen = rows[shown[rows]]
        if len(seen):
            own = _with_doubts(offered, rows, seen, values)
            boxes[values[seen[0]]["image_id"]] = sorted(own, key=lambda box: -box.doubt)
    return boxes


def _with_doubts(
    offered: pa.Table, rows: NDArray[np.intp], seen: NDArray[np.intp], values: list[dict[str, Any]]
) -> list[ShownBox]:
    corners = _corners(offered)
    same_place = (box_iou(corners[seen], corners[rows]) >= ONE_OBJECT_IOU).numpy()
    inside = (intersection_over_first(corners[seen], corners[seen]) >= DUPLICATE_SHARE).numpy()
    boxes = []
    for place, row in enumerate(seen.tolist()):
        label = values[row]["label"]
        others = (values[other]["label"] for other in rows[same_place[place]].tolist())
        earlier = (values[other]["label"] for other in seen[:place][inside[place, :place]].tolist())
        boxes.append(ShownBox(values[row], next((name for name in others if name != label), ""), label in earlier))
    return boxes


def _is_likeliest(selection: pa.Table, rows: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.bool_]:
    """Of some boxes that overlap, of any class, one is the likeliest: greedily, from the likeliest on."""
    p_correct = selection["p_correct"].to_numpy()[rows]
    return is_likeliest(_images(selection)[rows], p_correct, _corners(selection)[rows], ONE_OBJECT_IOU)


def _rows_by_image(selection: pa.Table) -> list[NDArray[np.intp]]:
    """Rows of each image, the likeliest first."""
    if not len(selection):
        return []
    image = _images(selection)
    order = np.lexsort((-selection["p_correct"].to_numpy(), image))
    return np.split(order, np.flatnonzero(np.diff(image[order])) + 1)


def _images(selection: pa.Table) -> NDArray[np.intp]:
    """Which image holds each box."""
    return np.asarray(selection["image_id"].combine_chunks().dictionary_encode().indices, dtype=np.intp)


def _corners(selection: pa.Table) -> torch.Tensor:
    return as_boxes(np.stack([selection[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1))
