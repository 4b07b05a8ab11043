"""The numbers behind a report as pandas DataFrames: what its tables show, and what the Python API and `--csv` give."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artefacts import (
    HELD_BACK,
    AuditCount,
    Calibration,
    Certificate,
    Certificates,
    ClassMetrics,
    Metrics,
    ScoreQuality,
)
from pipeline.dataset.blame import Change
from pipeline.dataset.diff import DiffNumbers
from pipeline.dataset.store import SampleStore
from pipeline.dataset.tags import Tags
from pipeline.dataset.verify import Damage
from pipeline.dataset.versions import Version
from pipeline.records import Box, Fate
from pipeline.report.contents import Turn
from pipeline.selection.review_queue import REVIEW_SCHEMA, ReviewQueue
from pipeline.selection.review_tasks import reason_of_review

_OF_CLASS = [field.name for field in fields(ClassMetrics) if field.name != "interval"]
_CLASS_COLUMNS = ["label", *_OF_CLASS, "ap_low", "ap_high"]
_SPLITS = ("val", HELD_BACK, "test")
_COUNTED = {"images", "splits", "boxes", "labels"}
"""Groups of `Version.counts`."""


def versions(history: Sequence[Version], tags: Tags | None = None) -> pd.DataFrame:
    """One row per dataset version, ascending.

    Returns:
        `version, parent, committed, reason, cycle, model_id, settings_digest, code_version, restored, tags` (with
        spaces between) and the counts as columns `images_pool`, `splits_train`, `boxes_human`, `labels_bolt` and so on,
        0 where a version has none.
    """
    rows = [
        {
            "version": version.number,
            "parent": version.parent,
            "committed": version.timestamp,
            "reason": version.reason,
            "cycle": version.cycle,
            "model_id": version.model_id,
            "settings_digest": version.settings_digest,
            "code_version": version.code_version,
            "restored": version.restored,
            "tags": " ".join(tags.of(version.number)) if tags else "",
            **{f"{group}_{name}": n for group, counts in version.counts.items() for name, n in counts.items()},
        }
        for version in history
    ]
    table = pd.DataFrame(rows)
    counts = [name for name in map(str, table.columns) if name.partition("_")[0] in _COUNTED]
    table[counts] = table[counts].fillna(0).astype("int64")
    return table.astype(dict.fromkeys(("parent", "cycle", "restored"), "Int64"))


def differences(diff: DiffNumbers) -> pd.DataFrame:
    """One row per kind of change between two versions.

    Returns:
        `of` (`image` or `box`), `change` (`added`, `removed`, `state`, `split`, `changed`, `moved`, `relabelled` or
        `taken over`), `which` (a state, or the source of boxes; or a transition such as `pool->queued`), `label` (of
        boxes, or `bolt->nut`), `number`, and `iou`: mean overlap of boxes that became others, else null.
    """
    rows: list[tuple[Any, ...]] = [
        ("image", kind, name, "", number, None)
        for kind, groups in diff.images.items()
        for name, number in groups.items()
    ]
    rows += [
        ("box", kind, source, label, number, None)
        for kind, sources in diff.boxes.items()
        for source, labels in sources.items()
        for label, number in labels.items()
    ]
    rows += [("box", pair.change, pair.source, pair.label, pair.number, pair.iou) for pair in diff.box_pairs]
    return pd.DataFrame(rows, columns=["of", "change", "which", "label", "number", "iou"]).astype({"iou": "float64"})


def damages(found: Sequence[Damage]) -> pd.DataFrame:
    """One row per image that is not the file that was imported: `image_id, uri, problem, detail`."""
    return records(found, Damage)


def blame(changes: Sequence[Change]) -> pd.DataFrame:
    """One row per change of an image or a box of it, oldest version first.

    Returns:
        `version, committed, cycle, reason, change, detail`, then the fields of the box (null for changes of the image)
        and `seconds`; for no changes the columns alone.
    """
    of_box = [field.name for field in fields(Box)]
    rows = [
        {
            "version": change.version.number,
            "committed": change.version.timestamp,
            "cycle": change.version.cycle,
            "reason": change.version.why,
            "change": change.change,
            "detail": change.detail,
            **{name: getattr(change.box, name, None) for name in of_box},
            "seconds": change.seconds,
        }
        for change in changes
    ]
    names = ["version", "committed", "cycle", "reason", "change", "detail", *of_box, "seconds"]
    return pd.DataFrame(rows, columns=names).astype({"cycle": "Int64"})


def samples(table: pa.Table) -> pd.DataFrame:
    """One row per image, its boxes and ignore regions counted.

    Args:
        table: `SAMPLE_SCHEMA`.
    """
    counted = {name: pc.list_value_length(table[name]) for name in ("boxes", "ignore")}
    for name, numbers in counted.items():
        table = table.set_column(table.column_names.index(name), name, numbers)
    return plain(table)


def boxes(table: pa.Table) -> pd.DataFrame:
    """One row per box: `image_id`, `uri` and `split` of its image, then the fields of the box.

    Args:
        table: `SAMPLE_SCHEMA`.
    """
    nested = table["boxes"].combine_chunks()
    rows = pa.Table.from_struct_array(pc.list_flatten(nested))
    places = pc.list_parent_indices(nested)
    for number, name in enumerate(("image_id", "uri", "split")):
        rows = rows.add_column(number, name, table[name].take(places))
    return plain(rows)


def with_uris(rows: pa.Table, images: pa.Table) -> pd.DataFrame:
    """Rows about images, each with the address of its image.

    Args:
        rows: Has the column `image_id`.
        images: Has `image_id` and `uri`.
    """
    return plain(rows).merge(plain(images.select(["image_id", "uri"])), on="image_id", how="left")


def reviews(queue: ReviewQueue, store: SampleStore) -> pd.DataFrame:
    """One row per image to review, best first: `image_id`, `uri`, `reason`, and the numbers of `REVIEW_SCHEMA`."""
    columns = ["image_id", "uri", "width", "height"]
    images = plain(store.rows_of(queue.images["image_id"].to_pylist(), columns=columns)).set_index("image_id")
    rows, suspects = plain(queue.images).join(images, on="image_id"), queue.suspects_by_image()
    sizes = zip(rows["image_id"], rows["width"], rows["height"], strict=True)
    rows["reason"] = [reason_of_review(suspects[name], (int(wide), int(high))) for name, wide, high in sizes]
    numbers = [name for name in REVIEW_SCHEMA.names if name != "image_id"]
    wanted: pd.DataFrame = rows[["image_id", "uri", "reason", *numbers]]
    return wanted


def cycles(turns: Sequence[Turn]) -> pd.DataFrame:
    """One row per cycle: what its model learned from, what people were asked and answered, and mAP on each split.

    `priced_images`, `seconds_with_boxes` and `seconds_without_boxes` are what answers take by `labeling.seconds`. Of
    reviews: `reviewed_images`, `mistaken_images` (they held a mistake) and `review_hours`, which `hours` has not.
    """
    counted = [field.name for field in fields(Turn) if field.name not in {"gate", "reviews", "priced"}]
    rows = []
    for turn in turns:
        row: dict[str, object] = {name: getattr(turn, name) for name in counted}
        row |= {"reviewed_images": turn.reviews.answered, "mistaken_images": turn.reviews.changed}
        row |= {"review_hours": turn.reviews.hours, "priced_images": turn.priced.images}
        row |= {"seconds_with_boxes": turn.priced.with_boxes_s, "seconds_without_boxes": turn.priced.without_boxes_s}
        row["promoted"] = turn.gate.promoted if turn.gate else None
        for split in _SPLITS:
            metrics, name = turn.metrics(split), split.replace(" ", "_")
            low, high = (metrics.interval if metrics else None) or (None, None)
            row |= {
                f"map_{name}": metrics.map if metrics else None,
                f"map_{name}_low": low,
                f"map_{name}_high": high,
            }
            row[f"ap50_{name}"] = metrics.map50 if metrics else None
        rows.append(row)
    return pd.DataFrame(rows)


def evaluation(turns: Sequence[Turn]) -> pd.DataFrame:
    """One row per cycle, split and class.

    Returns:
        `cycle, model_id, split, label, boxes, ap, ap_low, ap_high, ap50, ap_small, ap_medium, ap_large`; empty where
        nothing was evaluated.
    """
    rows = [
        {"cycle": turn.cycle, "model_id": turn.gate.candidate, "split": split, **row}
        for turn in turns
        if turn.gate
        for split in _SPLITS
        for row in _classes(turn.metrics(split))
    ]
    return pd.DataFrame(rows, columns=["cycle", "model_id", "split", *_CLASS_COLUMNS])


def classes(metrics: Metrics | None) -> pd.DataFrame:
    """One row per class of one evaluation; see `evaluation` for the columns."""
    return pd.DataFrame(_classes(metrics), columns=_CLASS_COLUMNS)


def _classes(metrics: Metrics | None) -> list[dict[str, object]]:
    return [
        {"label": label, **{name: getattr(own, name) for name in _OF_CLASS}, "ap_low": low, "ap_high": high}
        for label, own in (metrics.per_class if metrics else {}).items()
        for low, high in [own.interval or (None, None)]
    ]


def certificates(
    promised: Certificates | None,
    withdrawn: Collection[str],
    audits: Mapping[str, AuditCount],
    fates: Mapping[str, Mapping[str, int]],
) -> pd.DataFrame:
    """One row per class: what is promised of its pseudo-labels, what audits found, and what became of its boxes.

    Args:
        promised: The certificates; None where nothing was calibrated.
        withdrawn: Classes that get no pseudo-labels since an audit failed.
        audits: Pseudo-labels that people drew without seeing them.
        fates: Boxes by label and fate.

    Returns:
        The columns of `Certificate`, then `withdrawn, audited, audited_right, pseudo, ask, drop`.
    """
    given = promised.classes if promised else {}
    names = [field.name for field in fields(Certificate)]
    nothing = Certificate("", certified=False, threshold=None, boxes=0, right=0, lower_bound=None)
    rows = []
    for label in sorted({*given, *fates, *audits}):
        promise, audit = given.get(label, nothing), audits.get(label, AuditCount())
        rows.append(
            {
                **asdict(promise),
                "label": label,
                "withdrawn": label in withdrawn,
                "audited": audit.boxes,
                "audited_right": audit.right,
                **{str(fate): fates.get(label, {}).get(fate, 0) for fate in (Fate.PSEUDO, Fate.ASK, Fate.DROP)},
            }
        )
    return pd.DataFrame(rows, columns=[*names, "withdrawn", "audited", "audited_right", "pseudo", "ask", "drop"])


def scores(calibration: Calibration | None) -> pd.DataFrame:
    """One row per score on held-back boxes, see `ScoreQuality`."""
    names = [field.name for field in fields(ScoreQuality) if field.name not in {"auroc_interval", "reliability"}]
    rows = []
    for score, quality in (calibration.scores if calibration else {}).items():
        low, high = quality.auroc_interval or (None, None)
        numbers = {name: getattr(quality, name) for name in names}
        rows.append({"score": score, **numbers, "auroc_low": low, "auroc_high": high})
    return pd.DataFrame(rows, columns=["score", *names, "auroc_low", "auroc_high"])


def plain(table: pa.Table) -> pd.DataFrame:
    """An Arrow table as it is."""
    frame: pd.DataFrame = table.to_pandas()
    return frame


def records(rows: Iterable[Any], kind: type) -> pd.DataFrame:
    """One row per record of one flat dataclass; its fields are the columns, also without rows."""
    return pd.DataFrame(map(asdict, rows), columns=[field.name for field in fields(kind)])
