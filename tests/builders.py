"""Small builders for records, so that a test states only what it is about."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from pipeline.records import Box, Sample, Source, Split, State, Task, make_box_id

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def image_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def box(x1=10.0, y1=20.0, x2=50.0, y2=60.0, label="bolt", source=Source.IMPORT, **fields: Any) -> Box:
    corners = (x1, y1, x2, y2)
    fields.setdefault("box_id", make_box_id("image", label, corners, str(source)))
    fields.setdefault("created_at", MOMENT)
    return Box(x1=x1, y1=y1, x2=x2, y2=y2, label=label, source=source, **fields)


def sample(name="one", *boxes: Box, split=Split.TRAIN, state=State.LABELED, **fields: Any) -> Sample:
    known = image_id(name)
    values: dict[str, Any] = {
        "uri": f"/images/{name}.jpg",
        "width": 320,
        "height": 240,
        "group_id": known,
        "fingerprint": known,
    }
    return Sample(image_id=known, split=split, state=state, boxes=boxes, **{**values, **fields})


def task(name="one", *boxes: Box, **fields: Any) -> Task:
    values: dict[str, Any] = {
        "uri": f"/images/{name}.jpg",
        "width": 320,
        "height": 240,
        "value": 0.5,
        "reason": "because",
    }
    return Task(image_id=image_id(name), boxes=boxes, **{**values, **fields})
