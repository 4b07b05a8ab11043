"""Which images and proposals the galleries show: those where a decision was closest, so that faults are seen first."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records import Fate, TaskKind
from pipeline.report.rows import QueuedImage, Verdict, read_rows


@dataclass(frozen=True, slots=True)
class ChosenImage:
    """An image with boxes of one fate.

    Attributes:
        image_id: The image.
        boxes: How many there are.
        p_correct: Of the box that it was chosen for.
    """

    image_id: str
    boxes: int
    p_correct: float


def first_asked(queue: pa.Table, limit: int) -> tuple[list[QueuedImage], int]:
    """The images that people are asked about first, with boxes drawn.

    Args:
        queue: `QUEUE_SCHEMA`.
        limit: Most rows.

    Returns:
        Rows by rank, and how many there are in all. Audits and blind tasks, which show no boxes, are left out.
    """
    asked = queue.filter(pc.field("kind").isin([str(kind) for kind in TaskKind if kind.shows_boxes]))
    return read_rows(asked.sort_by("rank").slice(0, limit), QueuedImage), asked.num_rows


def least_sure_pseudo(selection: pa.Table, limit: int) -> tuple[list[ChosenImage], int]:
    """Pseudo-labeled images, those with the least sure box first.

    Args:
        selection: `SELECTION_SCHEMA`.
        limit: Most images.

    Returns:
        The images, and how many there are in all.
    """
    return _by_image(selection, Fate.PSEUDO, "min", "ascending", limit)


def most_likely_dropped(selection: pa.Table, limit: int) -> tuple[list[ChosenImage], int]:
    """Images with dropped boxes, those with the box that is most likely right first.

    Args:
        selection: `SELECTION_SCHEMA`.
        limit: Most images.

    Returns:
        The images, and how many there are in all.
    """
    return _by_image(selection, Fate.DROP, "max", "descending", limit)


def disputed(selection: pa.Table, checks: pa.Table, limit: int) -> tuple[list[Verdict], int]:
    """Proposals where the re-detections contradict the detector most, in both directions.

    Args:
        selection: `SELECTION_SCHEMA`.
        checks: `CHECK_SCHEMA`.
        limit: Most rows.

    Returns:
        Those that were sure and not found again, then those that were unsure and found again; and how many proposals
        were checked in all.
    """
    checked = selection.filter(pc.is_in(selection["proposal_id"], pc.unique(checks["proposal_id"])))
    doubt = pc.fill_null(pc.subtract(checked["score"], checked["consistency"]), 0.0)
    ranked = checked.append_column("doubt", doubt).sort_by([("doubt", "descending"), ("proposal_id", "ascending")])
    refuted = ranked.filter(pc.greater_equal(ranked["doubt"], 0.0)).slice(0, (limit + 1) // 2)
    confirmed = ranked.filter(pc.less(ranked["doubt"], 0.0))
    most_confirmed = read_rows(confirmed.slice(max(confirmed.num_rows - limit // 2, 0)), Verdict)
    return [*read_rows(refuted, Verdict), *reversed(most_confirmed)], checked.num_rows


def _by_image(selection: pa.Table, fate: Fate, extreme: str, order: str, limit: int) -> tuple[list[ChosenImage], int]:
    kept = selection.filter(pc.equal(selection["fate"], str(fate)))
    p_correct = kept.select(["image_id"]).append_column("p_correct", pc.fill_null(kept["p_correct"], 0.0))
    images = p_correct.group_by("image_id").aggregate([("p_correct", extreme), ("p_correct", "count")])
    named = images.rename_columns({f"p_correct_{extreme}": "p_correct", "p_correct_count": "boxes"})
    ranked = named.sort_by([("p_correct", order), ("image_id", "ascending")])
    return [ChosenImage(**row) for row in ranked.slice(0, limit).to_pylist()], ranked.num_rows
