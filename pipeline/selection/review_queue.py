"""Labelled images worth another look: those first where a second of a person is expected to mend most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.store import SampleStore
from pipeline.records import Split, State, nested_rows, of_images
from pipeline.selection.suspects import (
    BOX_SCHEMA,
    DETECTION_SCHEMA,
    SUSPECT_SCHEMA,
    Suspicion,
    Usual,
    far_off,
    suspects,
    usual_sides,
)
from pipeline.settings import SecondsSettings

REVIEWED_SPLITS = (Split.TRAIN, Split.VAL)
"""Images of test are never reviewed: mended where the model disagrees, they would flatter it."""

REVIEW_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("boxes", pa.int64()),
        ("expected", pa.float64()),
        ("p_any", pa.float64()),
        ("seconds", pa.float64()),
        ("gain", pa.float64()),
    ]
)
"""One row per image. `boxes`: labels that it has. `expected`: boxes that a person is expected to mend. `p_any`:
probability of at least one. `seconds`: what a review takes. `gain`: boxes mended per second, greatest first."""

_COLUMNS = ("image_id", "boxes", "ignore")
_CORNERS = ("x1", "y1", "x2", "y2")
_BATCH_ROWS = 8192
_P_DISPUTED = 0.95
"""Two people who see different objects are hardly both right."""


class SuspectRow(TypedDict):
    """A row of `SUSPECT_SCHEMA`."""

    image_id: str
    box_id: str
    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    suspicion: str
    rival: str
    p_wrong: float


@dataclass(frozen=True)
class ReviewQueue:
    """What a review would look at.

    Attributes:
        images: Columns of `REVIEW_SCHEMA`, best first.
        suspects: Columns of `SUSPECT_SCHEMA`, of these images.
    """

    images: pa.Table = field(default_factory=REVIEW_SCHEMA.empty_table)
    suspects: pa.Table = field(default_factory=SUSPECT_SCHEMA.empty_table)

    def first(self, count: int) -> ReviewQueue:
        """The best images alone."""
        images = self.images.slice(0, count)
        return ReviewQueue(images, self.suspects.filter(of_images(images["image_id"].to_pylist())))

    def suspects_by_image(self) -> dict[str, list[SuspectRow]]:
        """Rows of `suspects` by `image_id`."""
        rows: dict[str, list[SuspectRow]] = defaultdict(list)
        for row in self.suspects.to_pylist():
            rows[row["image_id"]].append(row)
        return rows


def review_queue(
    store: SampleStore,
    detections: pa.Table,
    seconds: SecondsSettings,
    passed_over: Collection[str] = (),
    disputed: Mapping[str, str] | None = None,
) -> ReviewQueue:
    """Look all labelled images of train and val over, piece by piece.

    Args:
        store: The sample table.
        detections: Held-back ones, columns of `DETECTION_SCHEMA`.
        seconds: What each action of a person takes.
        passed_over: Images that are not looked at, for instance since they were reviewed.
        disputed: Images that another source labels differently, with its name.
    """
    usual = _usual(store, detections)
    found, sizes = [SUSPECT_SCHEMA.empty_table()], [_sizes(pa.table({name: [] for name in ("image_id", "boxes")}))]
    for batch in _labeled(store):
        images = batch.filter(~of_images(passed_over))
        boxes, ignored = nested_rows(images, "boxes"), nested_rows(images, "ignore")
        ids = images["image_id"].combine_chunks()
        found += [suspects(_as_boxes(boxes), _of(detections, ids), ignored, usual), _disputed(ids, disputed or {})]
        sizes.append(_sizes(pa.table({"image_id": ids, "boxes": pc.list_value_length(images["boxes"])})))
    every = pa.concat_tables(found)
    return ReviewQueue(_ranked(every, pa.concat_tables(sizes), seconds), every)


def _disputed(image_ids: pa.Array, sources: Mapping[str, str]) -> pa.Table:
    """One suspicion of no box for each of these images that two sources label differently."""
    ours = [image_id for image_id in image_ids.to_pylist() if image_id in sources] if sources else []
    blank = {"box_id": "", "label": "", "suspicion": str(Suspicion.DISPUTED), "p_wrong": _P_DISPUTED}
    corners = dict.fromkeys(_CORNERS, 0.0)
    rows = [{**blank, **corners, "image_id": image_id, "rival": sources[image_id]} for image_id in ours]
    return pa.Table.from_pylist(rows, schema=SUSPECT_SCHEMA)


def _labeled(store: SampleStore) -> Iterator[pa.Table]:
    for batch in store.stream(None, _COLUMNS, [State.LABELED], REVIEWED_SPLITS, _BATCH_ROWS):
        yield pa.Table.from_batches([batch])


def _usual(store: SampleStore, detections: pa.Table) -> Usual:
    labels, sides, counts = [pa.array([], pa.string())], [np.zeros(0)], np.zeros(2)
    for batch in _labeled(store):
        boxes = _as_boxes(nested_rows(batch, "boxes"))
        labels.append(boxes["label"].combine_chunks())
        x1, y1, x2, y2 = (boxes[name].to_numpy().astype(np.float64) for name in _CORNERS)
        sides.append(np.sqrt((x2 - x1) * (y2 - y1)))
        counts += far_off(boxes, _of(detections, batch["image_id"].combine_chunks()))
    pairs, far = counts.tolist()
    return Usual(usual_sides(pa.concat_arrays(labels), np.concatenate(sides)), far / pairs if pairs else 1.0)


def _of(detections: pa.Table, image_ids: pa.Array) -> pa.Table:
    if not len(detections):
        return detections
    return detections.filter(pc.is_in(detections["image_id"], image_ids)).cast(DETECTION_SCHEMA)


def _as_boxes(boxes: pa.Table) -> pa.Table:
    return boxes.select(BOX_SCHEMA.names).cast(BOX_SCHEMA)


def _sizes(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([("image_id", pa.string()), ("boxes", pa.int64())]))


def _ranked(found: pa.Table, sizes: pa.Table, seconds: SecondsSettings) -> pa.Table:
    """Suspicions of one box count once, by the likeliest; what it takes to mend it is that one's."""
    worst = found.sort_by([("image_id", "ascending"), ("box_id", "ascending"), ("p_wrong", "descending")])
    names = pc.binary_join_element_wise(worst["image_id"], worst["box_id"], "|")
    names = np.asarray(names.to_numpy(), dtype=str)
    worst = worst.take(pa.array(np.flatnonzero(np.r_[names[:1] != "", names[1:] != names[:-1]])))
    p_wrong = worst["p_wrong"].to_numpy()
    actions = np.array([_seconds_to_mend(name, seconds) for name in Suspicion])
    place = pc.index_in(worst["suspicion"], value_set=pa.array([str(name) for name in Suspicion])).to_numpy()
    rows = pa.table(
        {
            "image_id": worst["image_id"],
            "p": p_wrong,
            "sound": np.log1p(-np.minimum(p_wrong, 1 - 1e-9)),
            "work": p_wrong * actions[place.astype(np.int64)],
        }
    )
    by_image = rows.group_by("image_id").aggregate([("p", "sum"), ("sound", "sum"), ("work", "sum")])
    by_image = by_image.join(sizes, "image_id", join_type="inner")
    boxes, expected = by_image["boxes"].to_numpy(), by_image["p_sum"].to_numpy()
    takes = seconds.look + boxes * seconds.verify + by_image["work_sum"].to_numpy()
    values = {
        "image_id": by_image["image_id"],
        "boxes": by_image["boxes"],
        "expected": by_image["p_sum"],
        "p_any": 1 - np.exp(by_image["sound_sum"].to_numpy()),
        "seconds": takes,
        "gain": expected / np.maximum(takes, 1e-9),
    }
    return pa.table(values).cast(REVIEW_SCHEMA).sort_by([("gain", "descending"), ("image_id", "ascending")])


def _seconds_to_mend(suspicion: Suspicion, seconds: SecondsSettings) -> float:
    match suspicion:
        case Suspicion.DUPLICATE:
            return seconds.delete
        case Suspicion.TWO_CLASSES | Suspicion.WRONG_CLASS:
            return seconds.relabel
        case Suspicion.MISSING:
            return seconds.draw
        case _:
            return seconds.adjust
