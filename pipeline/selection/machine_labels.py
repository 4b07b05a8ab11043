"""The boxes and ignore regions that a selection writes on images, column by column: no record is made per box."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.records import SAMPLE_SCHEMA, Fate, Source, make_box_id
from pipeline.selection.fates import is_soft
from pipeline.settings import SelectionSettings

NESTED = ("boxes", "ignore")
_CORNERS = ("x1", "y1", "x2", "y2")
_KEPT = (*_CORNERS, "label", "score", "consistency", "p_correct", "model_id", "proposal_id")
_NAMED_BY = ("image_id", "label", "model_id", *_CORNERS)
_TOGETHER = 100_000
"""Boxes whose ids are hashed at once."""


def machine_labels(selection: pa.Table, settings: SelectionSettings, opened_at: datetime) -> pa.Table:
    """What is written on each image: sure boxes, then soft ones, and the regions that training leaves out.

    Args:
        selection: Columns of `SELECTION_SCHEMA`, of these images.
        settings: Which boxes are learnt softly, and which are ignored.
        opened_at: UTC; machine boxes carry it.

    Returns:
        Columns `image_id`, `boxes` and `ignore` as of `SAMPLE_SCHEMA`, one row per image of the selection. Boxes and
        regions have the order of the selection.
    """
    asked, soft = pc.field("fate") == Fate.ASK.value, is_soft(settings.soft_from)
    sure = selection.filter(pc.field("fate") == Fate.PSEUDO.value)
    weak = (pc.field("fate") == Fate.DROP.value) & (pc.field("p_correct") >= settings.ignore_from)
    boxes = [(sure, Source.PSEUDO), (selection.filter(asked & soft), Source.SOFT)]
    left_out = [(selection.filter(asked & ~soft), "unsure"), (selection.filter(weak), "weak")]
    images = pc.unique(selection["image_id"])
    drawn = pa.concat_tables([_boxes(rows, source, opened_at) for rows, source in boxes])
    ignored = pa.concat_tables([_regions(rows, reason) for rows, reason in left_out])
    columns = [images, _nested(images, drawn, "boxes"), _nested(images, ignored, "ignore")]
    return pa.table(columns, names=["image_id", *NESTED])


def with_labels(rows: pa.Table, labels: pa.Table) -> pa.Table:
    """Replace boxes and ignore regions of images; those that `labels` does not name get none.

    Args:
        rows: Columns of `SAMPLE_SCHEMA`.
        labels: As of `machine_labels`.
    """
    place = pc.index_in(rows["image_id"], value_set=labels["image_id"].combine_chunks()).combine_chunks()
    place = pc.fill_null(place, len(labels))  # which is the row of nothing
    for name in NESTED:
        kind = SAMPLE_SCHEMA.field(name).type
        values = pa.concat_arrays([labels[name].combine_chunks().cast(kind), pa.array([[]], kind)])
        rows = rows.set_column(rows.column_names.index(name), name, values.take(place))
    return rows


def differ(old: pa.ChunkedArray, new: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Tell which rows of a nested column are another list.

    Args:
        old: N lists of boxes or regions.
        new: N others.

    Returns:
        bool[N].
    """
    before, after = old.combine_chunks(), new.combine_chunks()
    different = np.array(pc.not_equal(pc.list_value_length(before), pc.list_value_length(after)))
    same = pa.array(~different)
    before, after = before.filter(same), after.filter(same)
    row, rows = np.array(pc.list_parent_indices(before)), np.flatnonzero(~different)
    left, right = (pa.Table.from_struct_array(pc.list_flatten(lists)) for lists in (before, after))
    for name in left.column_names:
        equal = pc.equal(left[name], right[name])
        unequal = pc.fill_null(pc.invert(equal), pc.xor(left[name].is_null(), right[name].is_null()))
        different[rows[row[unequal.to_numpy()]]] = True
    return different


def _boxes(rows: pa.Table, source: Source, opened_at: datetime) -> pa.Table:
    """Boxes of `SAMPLE_SCHEMA`, one per row, with their image."""
    fields = {field.name: pa.nulls(len(rows), field.type) for field in SAMPLE_SCHEMA.field("boxes").type.value_type}
    fields |= {name: rows[name] for name in _KEPT}
    fields["box_id"] = pa.array(_ids(rows), pa.string())
    fields["source"] = pa.array([source.value]).take(pa.array(np.zeros(len(rows), dtype=np.int8)))
    moment = pa.array([opened_at], fields["created_at"].type)
    fields["created_at"] = moment.take(pa.array(np.zeros(len(rows), dtype=np.int8)))
    return pa.table({"image_id": rows["image_id"], **fields})


def _ids(rows: pa.Table) -> Iterator[str]:
    for start in range(0, len(rows), _TOGETHER):
        some = rows.slice(start, _TOGETHER)
        images, labels, models, *corners = (some[name].to_pylist() for name in _NAMED_BY)
        yield from map(make_box_id, images, labels, zip(*corners, strict=True), models)


def _regions(rows: pa.Table, reason: str) -> pa.Table:
    """Ignore regions of `SAMPLE_SCHEMA`, one per row, with their image."""
    reasons = pa.array([reason]).take(pa.array(np.zeros(len(rows), dtype=np.int8)))
    return rows.select(["image_id", *_CORNERS]).append_column("reason", reasons)


def _nested(images: pa.Array, rows: pa.Table, name: str) -> pa.Array:
    """Gather rows by their image: one list for each of `images`, in the order of the rows."""
    image = pc.index_in(rows["image_id"], value_set=images).to_numpy()
    ends = np.cumsum(np.bincount(image, minlength=len(images)))
    ordered = rows.drop_columns(["image_id"]).take(np.argsort(image, kind="stable"))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    kind = SAMPLE_SCHEMA.field(name).type
    flat = ordered.to_struct_array().combine_chunks() if len(ordered) else pa.array([], kind.value_type)
    return pa.ListArray.from_arrays(offsets, flat.cast(kind.value_type)).cast(kind)
