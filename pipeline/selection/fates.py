"""Three fates a proposal: written as a pseudo-label, asked about, or dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.artefacts import Certificate, PastedBoxes
from pipeline.records import BACKGROUND_SCHEMA, SELECTION_SCHEMA, Box, Fate, Source, looked_up, make_box_id, numbered
from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.settings import SelectionSettings

REASONS = {
    "certified": "p(correct) reaches the certified threshold of its class",
    "below_threshold": "p(correct) is under the certified threshold of its class",
    "withdrawn_class": "p(correct) reaches the threshold, but the class failed its audits",
    "mistrusted": "p(correct) is under the threshold, and the class failed its audits",
    "uncertified_class": "its class has no certificate",
    "unlikely": "p(correct) is so low that it is dropped",
}
"""What the column `reason` of the selection means."""
_JUDGED_BY = ["image_id", "p_correct", "fate", "reason"]
"""What is looked at: the other columns are most of a large table."""
AUDITED = (pc.field("fate") == Fate.PSEUDO.value) | (pc.field("reason") == "withdrawn_class")
"""A filter for boxes that audits are about: what is written, and what would be if its class were trusted."""


def decide(
    evidence: pa.Table,
    p_correct: NDArray[np.float64],
    certificates: Mapping[str, Certificate],
    settings: SelectionSettings,
    withdrawn: Collection[str] = (),
) -> pa.Table:
    """Give each proposal its fate.

    Args:
        evidence: Proposals with their evidence.
        p_correct: float[N].
        certificates: By class name; a class without an entry has none.
        settings: `drop_below`.
        withdrawn: Classes that failed their audits: nothing is written of them, whatever is certified.

    Returns:
        Columns of `SELECTION_SCHEMA`, in order.
    """
    thresholds = {
        label: certificate.threshold for label, certificate in certificates.items() if certificate.threshold is not None
    }
    threshold = looked_up(evidence["label"], thresholds, np.nan).astype(np.float32)
    # Compared as it is stored, so that a reader of the table sees no box on the wrong side of its threshold.
    p_stored = p_correct.astype(np.float32)
    mistrusted = looked_up(evidence["label"], dict.fromkeys(withdrawn, True), False)
    sure = p_stored >= threshold
    conditions = [sure & ~mistrusted, sure, p_stored < settings.drop_below, mistrusted, np.isnan(threshold)]
    fates = [Fate.PSEUDO, Fate.ASK, Fate.DROP, Fate.ASK, Fate.ASK, Fate.ASK]
    reasons = ["certified", "withdrawn_class", "unlikely", "mistrusted", "uncertified_class", "below_threshold"]
    case = pa.array(np.select(conditions, range(len(conditions)), len(conditions)).astype(np.int8))
    added = {
        "p_correct": pa.array(p_stored),
        "threshold": pa.array(threshold, from_pandas=True),
        "fate": pa.array([fate.value for fate in fates]).take(case),
        "reason": pa.array(reasons).take(case),
    }
    columns = [added[field.name] if field.name in added else evidence[field.name] for field in SELECTION_SCHEMA]
    return pa.Table.from_arrays(columns, schema=SELECTION_SCHEMA)


def pseudo_images(
    selection: pa.Table, asked: Collection[str], limit: int | None, soft_from: float | None = None
) -> list[str]:
    """Choose the images that are pseudo-labelled.

    Args:
        selection: Columns of `SELECTION_SCHEMA`.
        asked: Images that people are asked about; they wait for the answer instead.
        limit: Most images; those whose pseudo-labels are surest on average stay. None: all.
        soft_from: Images with soft labels are among them, see `is_soft`; None: they are not.

    Returns:
        Image ids, surest first.
    """
    means = (
        selection.select(_JUDGED_BY)
        .filter(is_learnt(soft_from))
        .group_by("image_id")
        .aggregate([("p_correct", "mean")])
    )
    plain = means.set_column(0, "image_id", means["image_id"].cast(pa.string()))
    ranked = plain.sort_by([("p_correct_mean", "descending"), ("image_id", "ascending")])
    free = [image_id for image_id in ranked["image_id"].to_pylist() if image_id not in asked]
    return free if limit is None else free[:limit]


def is_soft(soft_from: float | None) -> pc.Expression:
    """A filter for boxes that are learnt from though nothing is promised of them.

    Args:
        soft_from: Least p(correct); None: no box is.

    Returns:
        The filter. Boxes of a class that failed its audits never pass: its p(correct) is not to be trusted.
    """
    least = float("inf") if soft_from is None else soft_from
    asked = (pc.field("fate") == Fate.ASK.value) & ~pc.field("reason").isin(["withdrawn_class", "mistrusted"])
    return asked & (pc.field("p_correct") >= pa.scalar(least, pa.float32()))


def is_learnt(soft_from: float | None) -> pc.Expression:
    """A filter for boxes that a pseudo-labelled image teaches: promised ones, and soft ones."""
    return (pc.field("fate") == Fate.PSEUDO.value) | is_soft(soft_from)


def count_pasted(selection: pa.Table, soft_from: float | None) -> dict[str, PastedBoxes]:
    """How many boxes were pasted, and how often they were found again.

    Args:
        selection: Columns of `SELECTION_SCHEMA`.
        soft_from: As of `is_soft`.

    Returns:
        By fate; `ask` without soft labels, which are `soft`.
    """
    asked = pc.field("fate") == Fate.ASK.value
    parts = {
        "pseudo": pc.field("fate") == Fate.PSEUDO.value,
        "soft": is_soft(soft_from),
        "ask": asked & ~is_soft(soft_from),
        "drop": pc.field("fate") == Fate.DROP.value,
    }
    return {fate: _count_pasted(selection.filter(rows)) for fate, rows in parts.items()}


def _count_pasted(boxes: pa.Table) -> PastedBoxes:
    pastes = boxes["checks"].to_numpy().astype(np.int64)
    hits = np.rint(pastes * np.nan_to_num(boxes["hit_fraction"].to_numpy(zero_copy_only=False)))
    return PastedBoxes(len(boxes), int((pastes > 0).sum()), int(pastes.sum()), int(hits.sum()))


def is_background(soft_from: float | None, ignore_from: float | None) -> pc.Expression:
    """A filter for boxes of a pseudo-labelled image that training takes for background.

    Args:
        soft_from: As of `is_soft`.
        ignore_from: Unsure boxes, and dropped ones of at least this p(correct), are ignore regions; None: none is.
    """
    if ignore_from is None:
        return ~is_learnt(soft_from)
    return (pc.field("fate") == Fate.DROP.value) & (pc.field("p_correct") < ignore_from)


def box_of(row: Mapping[str, Any], created_at: datetime | None, source: Source = Source.PSEUDO) -> Box:
    """The box that a row of the selection becomes."""
    names = ("x1", "y1", "x2", "y2", "label", "score", "consistency", "p_correct", "model_id", "proposal_id")
    return Box(box_id=box_id_of(row), source=source, created_at=created_at, **{name: row[name] for name in names})


def box_id_of(row: Mapping[str, Any]) -> str:
    """The id of the box that a row of the selection becomes."""
    corners = [row[name] for name in ("x1", "y1", "x2", "y2")]
    return make_box_id(row["image_id"], row["label"], corners, row["model_id"])


def complete_images(background: pa.Table, settings: SelectionSettings) -> list[str]:
    """Images that may be pseudo-labelled: those in which few enough objects are expected to be missed.

    Args:
        background: Columns of `BACKGROUND_SCHEMA`.
        settings: How many are too many.
    """
    most = np.inf if settings.max_expected_missed is None else settings.max_expected_missed
    complete: list[str] = background.filter(pc.field("expected_missed") <= most)["image_id"].to_pylist()
    return complete


def background_of(
    selection: pa.Table, missed: MissedObjectsModel, settings: SelectionSettings, ignored: bool
) -> pa.Table:
    """What training would take for background in each image with a box to learn from.

    Args:
        selection: Columns of `SELECTION_SCHEMA`.
        missed: What no proposal finds.
        settings: Which boxes are learnt softly, and which would be ignore regions.
        ignored: Whether there are ignore regions.

    Returns:
        Columns of `BACKGROUND_SCHEMA`.
    """
    images = pc.unique(selection.select(_JUDGED_BY).filter(is_learnt(settings.soft_from))["image_id"]).to_pylist()
    background = is_background(settings.soft_from, settings.ignore_from if ignored else None)
    expected = expected_background(selection, missed, images, background)
    return pa.table([pa.array(images, pa.string()), pa.array(expected, pa.float32())], schema=BACKGROUND_SCHEMA)


def expected_background(
    selection: pa.Table, missed: MissedObjectsModel, image_ids: Sequence[str], background: pc.Expression
) -> NDArray[np.float64]:
    """Expect how many objects of an image training would take for background, were it pseudo-labelled.

    Args:
        selection: Columns of `SELECTION_SCHEMA`.
        missed: What no proposal finds.
        image_ids: K images.
        background: A filter for boxes that are taken for it, see `is_background`.

    Returns:
        float[K]: p(correct) summed over these boxes, and what was never proposed.
    """
    taken = selection.select(_JUDGED_BY).filter(background)
    image = numbered(taken["image_id"], image_ids)
    p_correct = taken["p_correct"].to_numpy().astype(np.float64)
    of_taken = np.bincount(image[image >= 0], weights=p_correct[image >= 0], minlength=len(image_ids))
    unseen = missed.predict(selection, selection["p_correct"].to_numpy().astype(np.float64), image_ids).sum(1)
    return np.asarray(of_taken + unseen)
