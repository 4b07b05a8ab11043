"""The galleries of a cycle: what was asked, pseudo-labeled and dropped, and the pastes behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.records import Fate
from pipeline.report.choices import Rows, disputed, first_asked, least_sure_pseudo, most_likely_dropped, rows_by
from pipeline.report.contents import CycleContents
from pipeline.report.pastes import paste_tiles
from pipeline.report.tiles import Album, Corners, Mark, ReadPixels, Tile
from pipeline.report.wording import count, cut, file_name, plural, share
from pipeline.settings.report import ReportSettings

_HOSTS_SHOWN = 4
_FATES = {Fate.PSEUDO: "pseudo-labeled", Fate.ASK: "asked", Fate.DROP: "dropped"}


@dataclass(frozen=True, slots=True)
class Card:
    """One or more images with what there is to say about them.

    Attributes:
        heading: What it is, short.
        uri: Where the image lies.
        lines: Sentences below the images.
        tiles: The images.
    """

    heading: str
    uri: str
    lines: tuple[str, ...]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """A row of cards.

    Attributes:
        key: Anchor on the page.
        title: Heading.
        lead: Which images these are and in which order.
        cards: May be empty.
        empty: What to say where there is no card.
        note: What is cut; empty for nothing.
    """

    key: str
    title: str
    lead: str
    cards: tuple[Card, ...]
    empty: str
    note: str = ""


def galleries(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> tuple[Gallery, ...]:
    """All galleries of a cycle.

    Args:
        contents: The cycle.
        read_pixels: Gives the pixels of a URI.
        settings: How many images, how large.

    Returns:
        Asked, pseudo-labeled, dropped, pastes; each may be empty.
    """
    return (
        asked_gallery(contents, read_pixels, settings),
        pseudo_gallery(contents, read_pixels, settings),
        dropped_gallery(contents, read_pixels, settings),
        paste_gallery(contents, read_pixels, settings),
    )


def asked_gallery(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> Gallery:
    """The images that people see first, with the boxes that the machine proposes."""
    rows, total = first_asked(contents.queue, settings.gallery_images)
    album, boxes = _opened(contents, read_pixels, rows)
    cards = tuple(
        Card(
            f"No. {row['rank'] + 1}, value {share(row['value'])}",
            album.uri(row["image_id"]),
            (row["reason"],),
            (_tile(album, row["image_id"], boxes.get(row["image_id"], ()), (Fate.PSEUDO, Fate.ASK), settings),),
        )
        for row in rows
    )
    return Gallery(
        "asked",
        "Asked: what people see first",
        "In the order of the queue. The boxes are the machine's proposals; surely wrong ones are not drawn.",
        cards,
        "Nobody was asked in this cycle.",
        cut(len(rows), total, "asked images", "queue.parquet"),
    )


def pseudo_gallery(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> Gallery:
    """Pseudo-labeled images with their ignore regions, the least sure first."""
    rows, total = least_sure_pseudo(contents.selection, settings.gallery_images)
    album, boxes = _opened(contents, read_pixels, rows)
    cards = tuple(_image_card(album, row, boxes, Fate.PSEUDO, settings, "Least sure box: p(correct)") for row in rows)
    return Gallery(
        "pseudo",
        "Pseudo-labeled: what the machine wrote by itself",
        "The least sure first: where these are right, the others are likely right too. Hatched parts are ignore "
        "regions: unsure boxes that cost no loss in training.",
        cards,
        "No image was pseudo-labeled in this cycle.",
        cut(len(rows), total, "pseudo-labeled images", "selection.parquet"),
    )


def dropped_gallery(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> Gallery:
    """Images with dropped boxes, those likeliest to be right first."""
    rows, total = most_likely_dropped(contents.selection, settings.gallery_images)
    album, boxes = _opened(contents, read_pixels, rows)
    cards = tuple(_image_card(album, row, boxes, Fate.DROP, settings, "Likeliest box: p(correct)") for row in rows)
    return Gallery(
        "dropped",
        "Dropped: what the machine took for surely wrong",
        "Those likeliest to be right first: an object seen here was dropped by mistake.",
        cards,
        "No box was dropped in this cycle.",
        cut(len(rows), total, "images with dropped boxes", "selection.parquet"),
    )


def paste_gallery(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> Gallery:
    """Proposals whose re-detections contradict the detector, with their pastes."""
    proposals, total = disputed(contents.selection, contents.checks, settings.gallery_images // 2)
    checks = rows_by(contents.checks, "proposal_id", (row["proposal_id"] for row in proposals))
    shown = {key: sorted(rows, key=lambda row: str(row["host_id"])) for key, rows in checks.items()}
    hosts = (row["host_id"] for rows in shown.values() for row in rows[:_HOSTS_SHOWN])
    images = [*(row["image_id"] for row in proposals), *hosts]
    album = Album(read_pixels, contents.samples, images)
    cards = tuple(_paste_card(album, row, shown[row["proposal_id"]], settings) for row in proposals)
    return Gallery(
        "pastes",
        "Pastes: was the object found again in another image?",
        "Where the re-detections contradict the detector most: first boxes it was sure of that were not found again, "
        "then boxes it was unsure of that were. Each image is cut to the surroundings of the object.",
        cards,
        "No box was pasted in this cycle.",
        cut(len(proposals), total, "checked boxes", "checks.parquet"),
    )


def _opened(contents: CycleContents, read_pixels: ReadPixels, rows: Rows) -> tuple[Album, dict[str, Rows]]:
    images = [row["image_id"] for row in rows]
    return Album(read_pixels, contents.samples, images), rows_by(contents.selection, "image_id", images)


def _image_card(
    album: Album, row: dict[str, Any], boxes: dict[str, Rows], fate: Fate, settings: ReportSettings, extreme: str
) -> Card:
    image_id = row["image_id"]
    uri = album.uri(image_id)
    tile = _tile(album, image_id, boxes[image_id], (fate,), settings, ignored=fate is Fate.PSEUDO)
    heading = f"{plural(row['boxes'], 'box', 'boxes')} {_FATES[fate]}"
    return Card(heading, uri, (f"{extreme} {share(row['p_correct'])}.",), (tile,))


def _paste_card(album: Album, row: dict[str, Any], checks: Rows, settings: ReportSettings) -> Card:
    hits = sum(bool(check["hit"]) for check in checks)
    sure = (row["score"] or 0.0) >= (row["consistency"] or 0.0)
    why = f" ({row['reason']})" if row["reason"] else ""
    lines = (
        f"Confidence {'' if sure else 'only '}{share(row['score'])}, consistency {'only ' if sure else ''}"
        f"{share(row['consistency'])}: found again in {hits} of {plural(len(checks), 'paste')}.",
        f"p(correct) {share(row['p_correct'])}: {_FATES[Fate(row['fate'])]}{why}.",
        cut(_HOSTS_SHOWN, len(checks), "pastes", "checks.parquet"),
    )
    tiles = paste_tiles(album, row, checks[:_HOSTS_SHOWN], settings.image_px // 2)
    heading = f"{row['label']} in {file_name(album.uri(row['image_id']))}"
    return Card(heading, album.uri(row["image_id"]), tuple(filter(None, lines)), tiles)


def _tile(
    album: Album,
    image_id: str,
    boxes: Iterable[dict[str, Any]],
    fates: tuple[Fate, ...],
    settings: ReportSettings,
    ignored: bool = False,
) -> Tile:
    marks = [(_corners(row), _mark(row)) for row in boxes if row["fate"] in fates]
    regions = album.ignored(image_id) if ignored else []
    hatched = [(_corners(row), Mark("ignore", 0, 0, 0, 0, tip=f"ignore region: {row['reason']}")) for row in regions]
    return album.tile(image_id, settings.image_px, [*hatched, *marks])


def _mark(row: dict[str, Any]) -> Mark:
    sure = "" if row["p_correct"] is None else f" {row['p_correct']:.2f}"
    tip = (
        f"{row['label']}: p(correct) {share(row['p_correct'])}, confidence {share(row['score'])}, "
        f"consistency {share(row['consistency'])}, {count(row['checks'])} pastes. {row['reason'] or ''}"
    )
    return Mark(row["fate"], 0, 0, 0, 0, f"{row['label']}{sure}", tip.strip())


def _corners(row: dict[str, Any]) -> Corners:
    x1, y1, x2, y2 = (float(row[name]) for name in ("x1", "y1", "x2", "y2"))
    return x1, y1, x2, y2
