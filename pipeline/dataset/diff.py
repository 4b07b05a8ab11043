"""What changed between two versions of the sample table: images by transition, boxes by source and label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.dataset.box_pairs import PairCount, count_pairs, pair_boxes
from pipeline.dataset.store import SampleStore
from pipeline.records import nested_rows

Tally = dict[str, dict[str, int]]
"""Number of boxes: `{source: {label: n}}`."""


class BoxTotals(TypedDict):
    """A tally summed up."""

    total: int
    by_source: dict[str, int]
    by_label: dict[str, int]


class BoxCounts(BoxTotals):
    """A tally, summed up and in full."""

    by_source_and_label: Tally


class DiffJson(TypedDict):
    """A `VersionDiff` as the command line prints it: images and boxes by kind of change."""

    images: dict[str, dict[str, int]]
    image_ids: dict[str, dict[str, list[str]]]
    boxes: dict[str, BoxCounts]
    box_pairs: list[dict[str, object]]
    box_image_ids: list[str]


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
class DiffNumbers:
    """How much changed from an old to a new version, in numbers alone; see `VersionDiff`.

    Attributes:
        images: Images by kind of change, then by state or transition.
        boxes: Boxes by kind of change, without those that became others.
        box_pairs: Boxes that became others.
        box_images: Images with any change of their boxes.
    """

    images: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    boxes: Mapping[str, Tally] = field(default_factory=dict)
    box_pairs: tuple[PairCount, ...] = ()
    box_images: int = 0


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """What changed from an old to a new version.

    Attributes:
        images_added: Images that are only in the new version, ids by state.
        images_removed: Images that are only in the old version, ids by state.
        states: Images that are in both with another state, ids by `old->new`.
        splits: Images that are in both with another split, ids by `old->new`.
        boxes_added: Boxes of objects that only the new version has.
        boxes_removed: Boxes of objects that only the old version has.
        boxes_changed: Boxes that are in both with another score, p_correct or other value, as in the new version.
        box_pairs: Boxes of objects that both have: moved, relabelled, or taken over from another source.
        box_images: Images with any such change of their boxes, ids.
    """

    images_added: dict[str, tuple[str, ...]] = field(default_factory=dict)
    images_removed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    states: dict[str, tuple[str, ...]] = field(default_factory=dict)
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    boxes_added: Tally = field(default_factory=dict)
    boxes_removed: Tally = field(default_factory=dict)
    boxes_changed: Tally = field(default_factory=dict)
    box_pairs: tuple[PairCount, ...] = ()
    box_images: tuple[str, ...] = ()

    @property
    def images_by_change(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Ids of images by kind of change, then by state or transition."""
        return {
            "added": self.images_added,
            "removed": self.images_removed,
            "state": self.states,
            "split": self.splits,
        }

    @property
    def boxes_by_change(self) -> dict[str, Tally]:
        """Boxes by kind of change, without those that became others."""
        return {"added": self.boxes_added, "removed": self.boxes_removed, "changed": self.boxes_changed}

    def numbers(self) -> DiffNumbers:
        """Numbers alone."""
        images = {kind: {name: len(ids) for name, ids in own.items()} for kind, own in self.images_by_change.items()}
        return DiffNumbers(images, self.boxes_by_change, self.box_pairs, len(self.box_images))

    def counts(self) -> ChangeCounts:
        """The numbers that stand in the history; a box that became another is one removed and one added."""
        added, removed = (_totals(tally) for tally in (self.all_added(), self.all_removed()))
        images = {name: len(ids) for name, ids in self.states.items()}
        images |= {f"new->{state}": len(ids) for state, ids in self.images_added.items()}
        return ChangeCounts(images, added["by_source"], removed["by_source"], added["by_label"], removed["by_label"])

    def all_added(self) -> Tally:
        """Boxes that are only in the new version, those that others became included."""
        became = [(pair.new_source, pair.new_label, pair.number) for pair in self.box_pairs]
        return _with_pairs(self.boxes_added, became)

    def all_removed(self) -> Tally:
        """Boxes that are only in the old version, those that became others included."""
        were = [(pair.old_source, pair.old_label, pair.number) for pair in self.box_pairs]
        return _with_pairs(self.boxes_removed, were)

    def to_json(self) -> DiffJson:
        """Counts and ids as plain JSON."""
        named = {"state": "states", "split": "splits"}
        images = {named.get(kind, kind): groups for kind, groups in self.images_by_change.items()}
        return {
            "images": {kind: {name: len(ids) for name, ids in groups.items()} for kind, groups in images.items()},
            "image_ids": {kind: {name: list(ids) for name, ids in groups.items()} for kind, groups in images.items()},
            "boxes": {
                kind: {**_totals(tally), "by_source_and_label": tally} for kind, tally in self.boxes_by_change.items()
            },
            "box_pairs": [asdict(pair) for pair in self.box_pairs],
            "box_image_ids": list(self.box_images),
        }


def diff_versions(old: pa.Table, new: pa.Table) -> VersionDiff:
    """Compare two versions.

    A box is known by its `box_id`, which holds its corners, its label and who drew it. Of boxes with other ids, those
    that overlap are one object, see `pair_boxes`.

    Args:
        old: Rows with `SAMPLE_SCHEMA`.
        new: Rows with `SAMPLE_SCHEMA`.

    Returns:
        What changed; everything empty for equal versions.
    """
    after, before = _matched(new, old, "image_id")
    old_boxes, new_boxes = nested_rows(old, "boxes"), nested_rows(new, "boxes")
    gone, came = _only(old_boxes, new_boxes, "box_id"), _only(new_boxes, old_boxes, "box_id")
    left, right, iou = pair_boxes(gone, came)
    changed = _changed(*_matched(new_boxes, old_boxes, "box_id"))
    return VersionDiff(
        images_added=_ids_by(_only(new, old, "image_id"), "state"),
        images_removed=_ids_by(_only(old, new, "image_id"), "state"),
        states=_transitions(before, after, "state"),
        splits=_transitions(before, after, "split"),
        boxes_added=tally(_without(came, right)),
        boxes_removed=tally(_without(gone, left)),
        boxes_changed=tally(changed),
        box_pairs=count_pairs(gone.take(left), came.take(right), iou),
        box_images=_images(gone, came, changed),
    )


def diff_stored(store: SampleStore, old: int, new: int) -> VersionDiff:
    """Compare two versions of a sample table, by the rows that changed between them.

    Raises:
        ArtefactError: There is no such version.
        RowsGoneError: The rows of one were removed.
    """
    return diff_versions(*store.changed_rows(old, new))


def _without(boxes: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    kept = np.ones(len(boxes), dtype=bool)
    kept[rows] = False
    return boxes.filter(pa.array(kept))


def _images(*boxes: pa.Table) -> tuple[str, ...]:
    return tuple(sorted({image_id for part in boxes for image_id in pc.unique(part["image_id"]).to_pylist()}))


def _with_pairs(tally: Tally, boxes: Iterable[tuple[str, str, int]]) -> Tally:
    found = {source: Counter(labels) for source, labels in tally.items()}
    for source, label, number in boxes:
        found.setdefault(source, Counter())[label] += number
    return {source: dict(sorted(found[source].items())) for source in sorted(found)}


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


def tally(boxes: pa.Table, outer: str = "source", inner: str = "label") -> Tally:
    """Count boxes by two of their columns, values ascending."""
    groups = boxes.group_by([outer, inner]).aggregate([([], "count_all")])
    found: Tally = {}
    for row in groups.sort_by([(outer, "ascending"), (inner, "ascending")]).to_pylist():
        found.setdefault(row[outer], {})[row[inner]] = row["count_all"]
    return found


def _totals(tally: Tally) -> BoxTotals:
    by_label: Counter[str] = Counter()
    for labels in tally.values():
        by_label.update(labels)
    return {
        "total": by_label.total(),
        "by_source": {source: sum(labels.values()) for source, labels in tally.items()},
        "by_label": dict(sorted(by_label.items())),
    }
