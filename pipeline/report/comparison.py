"""Two versions beside each other on a page: what changed in numbers, and images before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from pipeline.dataset.box_pairs import pair_boxes
from pipeline.dataset.diff import DiffNumbers
from pipeline.records import Box, Sample, samples_to_table
from pipeline.report.album import Album
from pipeline.report.cards import Card, Gallery
from pipeline.report.compared_versions import Comparison, ImageChange
from pipeline.report.tables import Column, Table
from pipeline.report.tiles import Mark, Tile
from pipeline.report.wording import count, plural

KEPT, GONE, BECAME, NEW = "kept", "gone", "became", "new"
"""What a box of one side is to the other: the kinds of its mark."""


AlbumOf = Callable[[pa.Table, Sequence[str]], Album]
"""Called with rows of `SAMPLE_SCHEMA` and the images that will be shown."""


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
    chosen, total = compared.images[: shown.images], compared.numbers.box_images
    samples = [image.there for image in chosen]
    album = shown.album(samples_to_table(samples), [sample.image_id for sample in samples])
    cards = tuple(_card(album, image, shown.image_px) for image in chosen)
    left = total - len(chosen)
    cut = f"{count(len(chosen))} of {count(total)} images shown, {count(left)} are not. {shown.more}"
    return Gallery(
        "before-after",
        "Images whose boxes changed",
        "Those with the most changed boxes first.",
        cards,
        f"{count(left)} images are not shown." if left else "No box changed.",
        cut if left else "",
    )


def headline(changes: DiffNumbers) -> str:
    """What changed, in one sentence."""
    added, removed, states = (sum(changes.images.get(kind, {}).values()) for kind in ("added", "removed", "state"))
    boxes = plural(changes.box_images, "image")
    return (
        f"{plural(added, 'image')} added, {count(removed)} removed, {count(states)} of another state; boxes changed in "
        f"{boxes}."
    )


def image_table(changes: DiffNumbers) -> Table:
    """Images by kind of change."""
    rows = [
        (what, name.replace("->", " → "), count(number))
        for what, part in changes.images.items()
        for name, number in part.items()
    ]
    return _table_of("Images", ("Change", "What"), ("Images",), rows)


def box_table(changes: DiffNumbers) -> Table:
    """Boxes by kind of change, source and class."""
    rows = [
        (what, source, label, count(number), "")
        for what, tally in changes.boxes.items()
        for source, labels in tally.items()
        for label, number in labels.items()
    ]
    rows += [
        (pair.change, pair.source.replace("->", " → "), pair.label.replace("->", " → "), count(pair.number),
         f"{pair.iou:.3f}")
        for pair in changes.box_pairs
    ]  # fmt: skip
    return _table_of("Boxes", ("Change", "Source", "Class"), ("Boxes", "Mean IoU"), rows)


def _card(album: Album, image: ImageChange, image_px: int) -> Card:
    before, after = image.before, image.after
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
    return Card(heading or "values changed", image.there.uri, _lines(before, after), tiles)


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
