"""Two versions beside each other: what changed in numbers, and images before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.box_pairs import pair_boxes
from pipeline.dataset.diff import VersionDiff, diff_versions
from pipeline.dataset.store import SampleStore
from pipeline.records import Box, Sample, nested_rows, of_images, samples_from_table
from pipeline.report.album import Album
from pipeline.report.cards import Card, Gallery
from pipeline.report.tables import Column, Table
from pipeline.report.tiles import Mark, Tile
from pipeline.report.wording import count, plural

KEPT, GONE, BECAME, NEW = "kept", "gone", "became", "new"
"""What a box of one side is to the other: the kinds of its mark."""


AlbumOf = Callable[[pa.Table, Sequence[str]], Album]
"""Called with rows of `SAMPLE_SCHEMA` and the images that will be shown."""


@dataclass(frozen=True)
class Comparison:
    """What changed between two versions.

    Attributes:
        before: Rows of the old version in which they may differ.
        after: Rows of the new one.
        changes: What did.
    """

    before: pa.Table
    after: pa.Table
    changes: VersionDiff

    @classmethod
    def of(cls, store: SampleStore, old: int, new: int) -> Comparison:
        """Compare two versions; what it costs follows the changes between them.

        Raises:
            ArtefactError: There is no such version.
            RowsGoneError: The rows of one were removed.
        """
        before, after = store.changed_rows(old, new)
        return cls(before, after, diff_versions(before, after))


@dataclass(frozen=True)
class Shown:
    """How the images of a comparison are shown.

    Attributes:
        album: Gives the images.
        images: Most that are drawn.
        image_px: Longest side of an image on the page.
        more: How to see more of them, a sentence.
    """

    album: AlbumOf
    images: int
    image_px: int
    more: str


def before_after(compared: Comparison, shown: Shown) -> Gallery:
    """Images whose boxes changed, those with the most changed boxes first."""
    before, after = compared.before, compared.after
    ranked = _most_changed(before, after, compared.changes.box_images)
    chosen = ranked[: shown.images]
    old, new = _samples(before, chosen), _samples(after, chosen)
    rows = pa.concat_tables([after.filter(of_images(new)), before.filter(of_images(old.keys() - new.keys()))])
    album = shown.album(rows, chosen)
    cards = tuple(_card(album, old.get(image_id), new.get(image_id), shown.image_px) for image_id in chosen)
    left = len(ranked) - len(chosen)
    cut = f"{count(len(chosen))} of {count(len(ranked))} images shown, {count(left)} are not. {shown.more}"
    return Gallery(
        "before-after",
        "Images whose boxes changed",
        "Those with the most changed boxes first.",
        cards,
        f"{count(left)} images are not shown." if left else "No box changed.",
        cut if left else "",
    )


def headline(changes: VersionDiff) -> str:
    """What changed, in one sentence."""
    states = sum(map(len, changes.states.values()))
    added, removed = (sum(map(len, part.values())) for part in (changes.images_added, changes.images_removed))
    boxes = plural(len(changes.box_images), "image")
    return (
        f"{plural(added, 'image')} added, {count(removed)} removed, {count(states)} of another state; boxes changed in "
        f"{boxes}."
    )


def image_table(changes: VersionDiff) -> Table:
    """Images by kind of change."""
    rows = [
        (what, name.replace("->", " → "), count(len(ids)))
        for what, part in changes.images_by_change.items()
        for name, ids in part.items()
    ]
    return _table_of("Images", ("Change", "What"), ("Images",), rows)


def box_table(changes: VersionDiff) -> Table:
    """Boxes by kind of change, source and class."""
    rows = [
        (what, source, label, count(number), "")
        for what, tally in changes.boxes_by_change.items()
        for source, labels in tally.items()
        for label, number in labels.items()
    ]
    rows += [
        (pair.change, pair.source.replace("->", " → "), pair.label.replace("->", " → "), count(pair.number),
         f"{pair.iou:.3f}")
        for pair in changes.box_pairs
    ]  # fmt: skip
    return _table_of("Boxes", ("Change", "Source", "Class"), ("Boxes", "Mean IoU"), rows)


def _most_changed(before: pa.Table, after: pa.Table, image_ids: Iterable[str]) -> list[str]:
    """Images by how many boxes only one side has, most first."""
    ids = pa.array(list(image_ids), pa.string())
    old, new = (nested_rows(table, "boxes") for table in (before, after))
    changes = np.zeros(len(ids), dtype=np.int64)
    for one, other in ((old, new), (new, old)):
        alone = one.filter(pc.invert(pc.is_in(one["box_id"], other["box_id"].combine_chunks())))
        place = pc.index_in(alone["image_id"], value_set=ids).drop_null().to_numpy()
        changes += np.bincount(place, minlength=len(ids))
    order = np.argsort(-changes, kind="stable")
    return [str(name) for name in ids.take(pa.array(order)).to_pylist()]


def _samples(table: pa.Table, image_ids: Iterable[str]) -> dict[str, Sample]:
    return {sample.image_id: sample for sample in samples_from_table(table.filter(of_images(image_ids)))}


def _card(album: Album, before: Sample | None, after: Sample | None, image_px: int) -> Card:
    there = after or before
    assert there is not None, "an image whose boxes changed is in one of the versions"
    kinds = _kinds(before.boxes if before else (), after.boxes if after else ())
    numbers = [
        (sum(kinds.get(("after", box.box_id)) == NEW for box in after.boxes) if after else 0, "added"),
        (sum(kinds.get(("before", box.box_id)) == GONE for box in before.boxes) if before else 0, "removed"),
        (sum(kinds.get(("after", box.box_id)) == BECAME for box in after.boxes) if after else 0, "changed"),
    ]
    heading = ", ".join(f"{plural(number, 'box', 'boxes')} {what}" for number, what in numbers if number)
    tiles = tuple(
        _tile(album, image_px, side, sample, kinds) if sample else _no_tile(side)
        for side, sample in (("before", before), ("after", after))
    )
    return Card(heading or "values changed", there.uri, _lines(before, after), tiles)


def _no_tile(side: str) -> Tile:
    return Tile(f"{side}: no such image", missing="the version does not hold this image", caption=side)


def _tile(album: Album, image_px: int, side: str, sample: Sample, kinds: Mapping[tuple[str, str], str]) -> Tile:
    marks = [(box.xyxy, _mark(box, kinds[side, box.box_id])) for box in sample.boxes]
    marks.sort(key=lambda mark: mark[1].kind != KEPT)  # what changed lies on top
    tile = album.tile(sample.image_id, image_px, marks)
    return replace(tile, alt=f"{side}, {tile.alt}", caption=f"{side}: {plural(len(sample.boxes), 'box', 'boxes')}")


def _mark(box: Box, kind: str) -> Mark:
    by = f" by {box.annotator}" if box.annotator else ""
    return Mark(kind, "" if kind == KEPT else box.label, f"{box.label}: {box.source}{by}")


def _kinds(before: Iterable[Box], after: Iterable[Box]) -> dict[tuple[str, str], str]:
    """What each box of a side is, by side and `box_id`."""
    old, new = ({box.box_id: box for box in boxes} for boxes in (before, after))
    gone, came = ([box for name, box in one.items() if name not in other] for one, other in ((old, new), (new, old)))
    left, right, _ = pair_boxes(_table(gone), _table(came))
    kinds = {(side, name): KEPT for side, boxes in (("before", old), ("after", new)) for name in boxes}
    kinds |= {("before", box.box_id): GONE for box in gone} | {("after", box.box_id): NEW for box in came}
    kinds |= {("before", gone[row].box_id): BECAME for row in left.tolist()}
    return kinds | {("after", came[row].box_id): BECAME for row in right.tolist()}


def _table(boxes: Iterable[Box]) -> pa.Table:
    rows = [
        {
            "image_id": "",
            "box_id": box.box_id,
            "label": box.label,
            "x1": box.x1,
            "y1": box.y1,
            "x2": box.x2,
            "y2": box.y2,
        }
        for box in boxes
    ]
    texts = [(name, pa.string()) for name in ("image_id", "box_id", "label")]
    return pa.Table.from_pylist(rows, pa.schema([*texts, *((name, pa.float64()) for name in ("x1", "y1", "x2", "y2"))]))


def _lines(before: Sample | None, after: Sample | None) -> tuple[str, ...]:
    if before is None or after is None:
        return (f"The image was {'removed' if after is None else 'added'}.",)
    pairs = (("State", before.state, after.state), ("Split", before.split, after.split))
    return tuple(f"{what}: {was} → {now}." for what, was, now in pairs if was != now)


def _table_of(caption: str, texts: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    columns = [*(Column(title, numeric=False) for title in texts), *map(Column, numbers)]
    return Table(caption, tuple(columns), tuple(map(tuple, rows)))
