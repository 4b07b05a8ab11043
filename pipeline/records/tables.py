"""The columns of every table, and the way between rows and records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.records.samples import Box, ImageRef, Region, Sample, Source, Split, State

T = TypeVar("T")


class Fate(StrEnum):
    """What selection decides about a proposal: value of the column `fate`."""

    PSEUDO = "pseudo"
    ASK = "ask"
    DROP = "drop"


def _of_type(kind: pa.DataType, *names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, kind) for name in names]


_CORNERS = _of_type(pa.float32(), "x1", "y1", "x2", "y2")

_BOX_FIELDS = [
    ("box_id", pa.string()),
    *_CORNERS,
    *_of_type(pa.string(), "label", "source"),
    *_of_type(pa.float32(), "score", "consistency", "p_correct"),
    *_of_type(pa.string(), "model_id", "annotation_id", "annotator"),
    ("created_at", pa.timestamp("us", tz="UTC")),
    ("proposal_id", pa.string()),
]

SAMPLE_SCHEMA = pa.schema(
    [
        *_of_type(pa.string(), "image_id", "uri"),
        *_of_type(pa.int32(), "width", "height"),
        *_of_type(pa.string(), "split", "group_id", "state"),
        ("boxes", pa.list_(pa.struct(_BOX_FIELDS))),
        ("ignore", pa.list_(pa.struct([*_CORNERS, ("reason", pa.string())]))),
        *_of_type(pa.string(), "fingerprint", "note"),
        ("cycle", pa.int32()),
    ]
)
"""The sample table: one row per image."""

NEIGHBOUR_FIELDS = _of_type(
    pa.float32(),
    "duplicate_iou",
    "conflict_iou",
    "covered",
    "covering",
    "votes",
    "rank",
    "crowd",
    "best_score",
    "class_score",
)
"""Evidence from the other proposals of the same image, see `pipeline.mining.proposals.Neighbours`."""

TTA_FIELDS = _of_type(pa.float32(), "tta_score", "tta_iou", "tta_near", "tta_conflict", "tta_votes", "tta_mass")
"""Evidence from an augmented view of the image, see `pipeline.mining.augmented_view.AugmentedViewEvidence`; null where
none was taken."""

PARTNER_FIELDS = _of_type(pa.float32(), "partner_score", "partner_iou")
"""What the other member of a pair says of a proposal, see `pipeline.mining.partner.PartnerEvidence`; null without
`selection.stacking`."""

PROPOSAL_SCHEMA = pa.schema(
    [
        *_of_type(pa.string(), "proposal_id", "image_id"),
        *_CORNERS,
        ("label", pa.string()),
        *_of_type(pa.float32(), "score", "entropy", "runner_up"),
        *NEIGHBOUR_FIELDS,
        *TTA_FIELDS,
        *_of_type(pa.float32(), "closeup_score", "closeup_iou"),
        *PARTNER_FIELDS,
        ("embedding", pa.list_(pa.float32())),
        ("model_id", pa.string()),
    ]
)
"""One row per proposal; corners in pixels of its image.

`score`: detector confidence. `entropy`: of the class scores, in nats; higher = less sure. `runner_up`: best score of
another class at the same place. `closeup_score`: score in the mirrored close-up, 0 for a miss; `closeup_iou`: overlap
there; both null where not measured. `embedding`: unit length."""

VISIBLE_SHARE = "visible_share"
"""One more column of proposals, float32: area that is seen of a box, 0 to 1, see `detector.visible_box`."""


def proposal_schema(*, visible_share: bool) -> pa.Schema:
    """`PROPOSAL_SCHEMA`, with the visible share at its end where the detector tells it."""
    return PROPOSAL_SCHEMA.append(pa.field(VISIBLE_SHARE, pa.float32())) if visible_share else PROPOSAL_SCHEMA


CHECK_SCHEMA = pa.schema(
    [
        ("proposal_id", pa.string()),
        ("number", pa.int32()),
        *_of_type(pa.string(), "shown_id", "host_id", "host_kind"),
        *_of_type(pa.float32(), "paste_x1", "paste_y1", "paste_x2", "paste_y2", "margin", "scale"),
        ("hit", pa.bool_()),
        *_of_type(pa.float32(), "score", "iou"),
        *_CORNERS,
    ]
)
"""One row per paste and proposal that was looked for in it.

`number`: counts the pastes of a proposal from 0. `shown_id`: the proposal that was cut out and pasted; those at the
same place share its pastes. `paste_*`: where it was pasted; `x1` to `y2`: its re-detection, null for a miss; both in
pixels of the host. `margin`: context around the object, as a share of its sides. `scale`: host pixels per source pixel.
`score`: 0 for a miss."""

EVIDENCE_FIELDS = [
    *_of_type(pa.float32(), "consistency", "hit_fraction", "mean_iou", "spread"),
    ("checks", pa.int32()),
]
"""Evidence from the pastes of a proposal."""

_NOT_DECIDED = {"embedding", *(name for name, _ in PARTNER_FIELDS)}
SELECTION_SCHEMA = pa.schema(
    [
        *[field for field in PROPOSAL_SCHEMA if field.name not in _NOT_DECIDED],
        *EVIDENCE_FIELDS,
        *_of_type(pa.float32(), "p_correct", "threshold"),
        *_of_type(pa.string(), "fate", "reason"),
    ]
)
"""One row per proposal with its fate.

`consistency`: null where the box was not checked. `threshold`: certified threshold on `p_correct` of its class, null
where the class has no certificate."""

QUEUE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("rank", pa.int32()),
        *_of_type(pa.float32(), "value", "expected_corrections", "expected_missed"),
        ("boxes", pa.int32()),
        *_of_type(pa.string(), "kind", "reason"),
    ]
)
"""One row per image to ask about: rank 0 first, higher `value` = more worth asking."""

BACKGROUND_SCHEMA = pa.schema([("image_id", pa.string()), ("expected_missed", pa.float32())])
"""One row per image with a sure box: the number of its objects that training is expected to take for background."""


def samples_to_table(samples: Iterable[Sample]) -> pa.Table:
    """Lay samples out as rows of `SAMPLE_SCHEMA`, in order."""
    return pa.Table.from_pylist([asdict(sample) for sample in samples], schema=SAMPLE_SCHEMA)


def samples_from_table(table: pa.Table) -> list[Sample]:
    """Read one sample per row back from the columns of `SAMPLE_SCHEMA`, in order."""
    return [_sample(row) for row in table.select(SAMPLE_SCHEMA.names).to_pylist()]


def refs_from_table(table: pa.Table) -> list[ImageRef]:
    """Read one reference per row from the columns `image_id`, `uri`, `width` and `height`, in order."""
    return [ImageRef(**row) for row in table.select(ImageRef._fields).to_pylist()]


def nested_rows(images: pa.Table, name: str) -> pa.Table:
    """The boxes or the ignore regions of images, one per row and in order, with their `image_id`."""
    nested = images[name].combine_chunks()
    rows = pa.Table.from_struct_array(pc.list_flatten(nested))
    return rows.append_column("image_id", images["image_id"].take(pc.list_parent_indices(nested)))


def counted(texts: pa.ChunkedArray) -> dict[str, int]:
    """How often each text occurs in a column, in the order of first appearance."""
    return {row["values"]: row["counts"] for row in pc.value_counts(texts).to_pylist()}


def looked_up(texts: pa.ChunkedArray, values: Mapping[str, T], default: T) -> NDArray[Any]:
    """The value of each text of a column, found once for each different text."""
    coded = texts.combine_chunks().dictionary_encode()
    found = np.array([values.get(text, default) for text in [*coded.dictionary.to_pylist(), ""]])
    return np.asarray(found[coded.indices.to_numpy()])


def numbered(texts: pa.ChunkedArray, names: Iterable[str]) -> NDArray[np.intp]:
    """The number of each text of a column among some names, -1 for others; found once for each different text."""
    coded = texts.combine_chunks().dictionary_encode()
    found = pc.index_in(coded.dictionary, value_set=pa.array(names, pa.string())).fill_null(-1)
    return np.asarray(found.to_numpy()[coded.indices.to_numpy()], dtype=np.intp)


def of_images(image_ids: Iterable[str]) -> pc.Expression:
    """A filter that passes the rows of these images; it passes none where `image_ids` is empty."""
    return among("image_id", image_ids)


def among(column: str, values: Iterable[str]) -> pc.Expression:
    """A filter that passes the rows with one of these texts; it passes none where there are none.

    The least and the greatest are named beside the set: by them a reader leaves out the row groups of a sorted file
    that cannot hold any, which it does not by a set.
    """
    wanted = sorted(values)
    passes = pc.field(column).isin(pa.array(wanted, pa.string()))
    return passes & (pc.field(column) >= wanted[0]) & (pc.field(column) <= wanted[-1]) if wanted else passes


def _sample(row: dict[str, Any]) -> Sample:
    boxes = tuple(Box(**{**box, "source": Source(box["source"])}) for box in row["boxes"] or [])
    ignore = tuple(Region(**region) for region in row["ignore"] or [])
    kinds = {"split": Split(row["split"]), "state": State(row["state"])}
    return Sample(**{**row, **kinds, "boxes": boxes, "ignore": ignore})
