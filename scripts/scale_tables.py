"""Tables of a synthetic pool for `scale.py`: ids, proposals and samples, 5 boxes per image."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from pipeline.records import PROPOSAL_SCHEMA, SAMPLE_SCHEMA

BOXES, EMBEDDING = 5, 64
LABELS = pa.array(["bolt", "nut", "gear"])


def ids_of(images: int) -> list[str]:
    """Ids as images have them, ascending."""
    return sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(images))


def proposals_of(ids: list[str]) -> pa.Table:
    """Five proposals per image with random evidence."""
    count, random = len(ids) * BOXES, np.random.default_rng(0)
    values: dict[str, pa.Array] = {}
    for column in PROPOSAL_SCHEMA:
        if pa.types.is_float32(column.type):
            values[column.name] = pa.array(random.random(count, dtype=np.float32))
        elif pa.types.is_list(column.type):
            flat = pa.array(random.random(count * EMBEDDING, dtype=np.float32))
            values[column.name] = pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * EMBEDDING, flat)
    values["proposal_id"] = pa.array([f"{image_id[:20]}.{rank:03d}" for image_id in ids for rank in range(BOXES)])
    values["image_id"] = pa.array(ids).take(pa.array(np.repeat(np.arange(len(ids)), BOXES)))
    values["label"] = LABELS.take(pa.array(random.integers(0, 3, count)))
    values["model_id"] = pa.array(["m"] * count)
    return pa.table([values[column.name] for column in PROPOSAL_SCHEMA], schema=PROPOSAL_SCHEMA)


def samples_of(ids: list[str]) -> pa.Table:
    """Pseudo-labelled images of the pool."""
    count, random = len(ids) * BOXES, np.random.default_rng(0)
    left = random.random((count, 2), dtype=np.float32) * 200
    right = left + 20 + random.random((count, 2), dtype=np.float32) * 50
    fields = {column.name: pa.nulls(count, column.type) for column in SAMPLE_SCHEMA.field("boxes").type.value_type}
    fields |= {name: pa.array(values) for name, values in zip(("x1", "y1"), left.T.copy(), strict=True)}
    fields |= {name: pa.array(values) for name, values in zip(("x2", "y2"), right.T.copy(), strict=True)}
    fields["box_id"] = pa.array([f"{image_id[:14]}{rank:02d}" for image_id in ids for rank in range(BOXES)])
    fields["label"] = LABELS.take(pa.array(random.integers(0, 3, count)))
    fields["source"] = pa.array(["pseudo"] * count)
    boxes = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    offsets = np.arange(len(ids) + 1, dtype=np.int32)
    columns = {column.name: pa.nulls(len(ids), column.type) for column in SAMPLE_SCHEMA}
    columns |= {"image_id": pa.array(ids), "uri": pa.array([f"/pool/{image_id}.jpg" for image_id in ids])}
    columns |= {name: pa.array([320] * len(ids), pa.int32()) for name in ("width", "height")}
    columns |= {name: pa.array([value] * len(ids)) for name, value in (("split", "pool"), ("state", "pseudo"))}
    columns |= {name: pa.array(ids) for name in ("group_id", "fingerprint")} | {"note": pa.array([""] * len(ids))}
    columns["boxes"] = pa.ListArray.from_arrays(offsets * BOXES, boxes)
    columns["ignore"] = pa.ListArray.from_arrays(
        offsets * 0, pa.array([], SAMPLE_SCHEMA.field("ignore").type.value_type)
    )
    return pa.table(columns).cast(SAMPLE_SCHEMA)
