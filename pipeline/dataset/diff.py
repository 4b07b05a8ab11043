"""What changed between two versions of the sample table: images by transition, boxes by source and label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Tally = dict[str, dict[str, int]]
"""Number of boxes: `{source: {label: n}}`."""


@dataclass(frozen=True, slots=True)
class ChangeCounts:
    """How much one version changed against its parent.

    Attributes:
        images: Images by transition of their state, `"pool->queued": n`.
        added: Boxes added, by source.
        removed: Boxes removed, by source.
        added_labels: Boxes added, by label.
        removed_labels: Boxes removed, by label.
    """

    images: Mapping[str, int] = field(default_factory=dict)
    added: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    added_labels: Mapping[str, int] = field(default_factory=dict)
    removed_labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """What changed from an old to a new version.

    Attributes:
        images_added: Images that are only in the new version, ids by state.
        images_removed: Images that are only in the old version, ids by state.
        states: Images that are in both with another state, ids by `old->new`.
        splits: Images that are in both with another split, ids by `old->new`.
        boxes_added: Boxes that are only in the new version.
        boxes_removed: Boxes that are only in the old version.
        boxes_changed: Boxes that are in both with another score, p_correct or other value, as in the new version.
    """

    images_added: dict[str, tuple[str, ...]] = field(default_factory=dict)
    images_removed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    states: dict[str, tuple[str, ...]] = field(default_factory=dict)
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    boxes_added: Tally = field(default_factory=dict)
    boxes_removed: Tally = field(default_factory=dict)
    boxes_changed: Tally = field(default_factory=dict)

    def counts(self) -> ChangeCounts:
        """Numbers alone, for a report."""
        added, removed = _margins(self.boxes_added), _margins(self.boxes_removed)
        images = {name: len(ids) for name, ids in self.states.items()}
        images |= {f"new->{state}": len(ids) for state, ids in self.images_added.items()}
        return ChangeCounts(images, added["by_source"], removed["by_source"], added["by_label"], removed["by_label"])

    def to_json(self) -> dict[str, Any]:
        """Counts and ids as plain JSON."""
        images = {
            "added": self.images_added,
            "removed": self.images_removed,
            "states": self.states,
            "splits": self.splits,
        }
        boxes = {"added": self.boxes_added, "removed": self.boxes_removed, "changed": self.boxes_changed}
        return {
            "images": {kind: {name: len(ids) for name, ids in groups.items()} for kind, groups in images.items()},
            "image_ids": {kind: {name: list(ids) for name, ids in groups.items()} for kind, groups in images.items()},
            "boxes": {kind: {**_margins(tally), "by_source_and_label": tally} for kind, tally in boxes.items()},
        }


def diff_versions(old: pa.Table, new: pa.Table) -> VersionDiff:
    """Compare two versions.

    A box is known by its `box_id`, which holds its corners, its label and who drew it: a box that was moved, relabeled
    or taken over by a person is one box removed and one added.

    Args:
        old: Rows with `SAMPLE_SCHEMA`.
        new: Rows with `SAMPLE_SCHEMA`.

    Returns:
        What changed; everything empty for equal versions.
    """
    after, before = _matched(new, old, "image_id")
    old_boxes, new_boxes = _boxes(old), _boxes(new)
    return VersionDiff(
        images_added=_ids_by(_only(new, old, "image_id"), "state"),
        images_removed=_ids_by(_only(old, new, "image_id"), "state"),
        states=_transitions(before, after, "state"),
        splits=_transitions(before, after, "split"),
        boxes_added=_tally(_only(new_boxes, old_boxes, "box_id")),
        boxes_removed=_tally(_only(old_boxes, new_boxes, "box_id")),
        boxes_changed=_tally(_changed(*_matched(new_boxes, old_boxes, "box_id"))),
    )


def _boxes(table: pa.Table) -> pa.Table:
    return pa.Table.from_struct_array(pc.list_flatten(table["boxes"]))


def _only(these: pa.Table, those: pa.Table, key: str) -> pa.Table:
    return these.filter(pc.invert(pc.is_in(these[key], those[key].combine_chunks())))


def _matched(these: pa.Table, those: pa.Table, key: str) -> tuple[pa.Table, pa.Table]:
    """Rows that both hold, in the order of these."""
    places = pc.index_in(these[key], those[key].combine_chunks())
    return these.filter(pc.is_valid(places)), those.take(pc.drop_null(places))


def _changed(new: pa.Table, old: pa.Table) -> pa.Table:
    differs = pa.chunked_array([pa.repeat(False, new.num_rows)])
    for name in new.column_names:
        # A comparison with null gives null: both null is no change, one null is one.
        unequal = pc.not_equal(new[name], old[name])
        one_null = pc.not_equal(pc.is_null(new[name]), pc.is_null(old[name]))
        differs = pc.or_(differs, pc.fill_null(unequal, one_null))
    return new.filter(differs)


def _transitions(before: pa.Table, after: pa.Table, column: str) -> dict[str, tuple[str, ...]]:
    names = pc.binary_join_element_wise(before[column], after[column], "->")
    moved = pc.not_equal(before[column], after[column])
    rows = pa.table({"image_id": after["image_id"], "transition": names}).filter(moved)
    return _ids_by(rows, "transition")


def _ids_by(table: pa.Table, column: str) -> dict[str, tuple[str, ...]]:
    groups = table.group_by(column).aggregate([("image_id", "list")]).sort_by(column)
    return {row[column]: tuple(sorted(row["image_id_list"])) for row in groups.to_pylist()}


def _tally(boxes: pa.Table) -> Tally:
    groups = boxes.group_by(["source", "label"]).aggregate([([], "count_all")])
    found: Tally = {}
    for row in groups.sort_by([("source", "ascending"), ("label", "ascending")]).to_pylist():
        found.setdefault(row["source"], {})[row["label"]] = row["count_all"]
    return found


def _margins(tally: Tally) -> dict[str, Any]:
    by_label: Counter[str] = Counter()
    for labels in tally.values():
        by_label.update(labels)
    return {
        "total": by_label.total(),
        "by_source": {source: sum(labels.values()) for source, labels in tally.items()},
        "by_label": dict(sorted(by_label.items())),
    }
