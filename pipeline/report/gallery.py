"""The galleries of whole images: what was asked, pseudo-labeled and dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from pipeline.records import Fate, of_images
from pipeline.report.album import Album, ReadPixels
from pipeline.report.cards import FATES, Card, Gallery
from pipeline.report.choices import ChosenImage, first_asked, least_sure_pseudo, most_likely_dropped
from pipeline.report.contents import CycleContents
from pipeline.report.rows import QueuedImage, Verdict, rows_of
from pipeline.report.tiles import Mark, Tile
from pipeline.report.wording import count, cut, plural, share
from pipeline.selection.showing import is_shown
from pipeline.settings.report import ReportSettings


def asked_gallery(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> Gallery:
    """The images that people see first, with the machine's boxes that they see."""
    rows, total = first_asked(contents.queue, settings.gallery_images)
    proposals = contents.selection.filter(of_images(row.image_id for row in rows))
    shown = proposals.filter(pa.array(is_shown(proposals, contents.shown_from)))
    images = _Images(replace(contents, selection=shown), read_pixels, settings.image_px, rows)
    cards = tuple(
        Card(
            f"No. {row.rank + 1}",
            images.album.uri(row.image_id),
            (row.reason or "",),
            (images.tile(row.image_id, (Fate.PSEUDO, Fate.ASK)),),
        )
        for row in rows
    )
    return Gallery(
        "asked",
        "Asked: what people see first",
        "In the order of the queue, with the machine's boxes that people see.",
        cards,
        "Nobody was asked in this cycle.",
        cut(len(rows), total, "asked images", "queue.parquet"),
    )


def pseudo_gallery(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> Gallery:
    """Pseudo-labeled images with their ignore regions, the least sure first."""
    rows, total = least_sure_pseudo(contents.selection, settings.gallery_images)
    images = _Images(contents, read_pixels, settings.image_px, rows)
    return Gallery(
        "pseudo",
        "Pseudo-labeled: what the machine labeled by itself",
        "The least sure first: where these are right, the others are likely right too. Hatched parts are ignore "
        "regions: unsure boxes that cost no loss in training.",
        tuple(images.card(row, Fate.PSEUDO, "Least sure box") for row in rows),
        "No image was pseudo-labeled in this cycle.",
        cut(len(rows), total, "pseudo-labeled images", "selection.parquet"),
    )


def dropped_gallery(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> Gallery:
    """Images with dropped boxes, those most likely right first."""
    rows, total = most_likely_dropped(contents.selection, settings.gallery_images)
    images = _Images(contents, read_pixels, settings.image_px, rows)
    return Gallery(
        "dropped",
        "Dropped: what the machine took to be surely wrong",
        "The most likely right first: an object in one of these boxes was dropped by mistake.",
        tuple(images.card(row, Fate.DROP, "Likeliest box") for row in rows),
        "No box was dropped in this cycle.",
        cut(len(rows), total, "images with dropped boxes", "selection.parquet"),
    )


class _Images:
    """The images of one gallery and what became of their boxes."""

    def __init__(
        self,
        contents: CycleContents,
        read_pixels: ReadPixels,
        image_px: int,
        rows: Sequence[QueuedImage] | Sequence[ChosenImage],
    ) -> None:
        image_ids = [row.image_id for row in rows]
        self.album = Album(read_pixels, contents.samples, image_ids)
        self._verdicts = rows_of(contents.selection, Verdict, "image_id", image_ids)
        self._image_px = image_px

    def card(self, row: ChosenImage, fate: Fate, chosen_for: str) -> Card:
        """An image with its boxes of one fate."""
        heading = f"{plural(row.boxes, 'box', 'boxes')} {FATES[fate]}"
        line = f"{chosen_for}: p(correct) {share(row.p_correct)}."
        return Card(heading, self.album.uri(row.image_id), (line,), (self.tile(row.image_id, (fate,)),))

    def tile(self, image_id: str, fates: tuple[Fate, ...]) -> Tile:
        """An image with its boxes of some fates; with its ignore regions where these are pseudo-labels alone."""
        marks = [(row.xyxy, _mark(row)) for row in self._verdicts[image_id] if row.fate in fates]
        regions = self.album.ignored(image_id) if fates == (Fate.PSEUDO,) else ()
        hatched = [(region.xyxy, Mark("ignore", tip=f"ignore region: {region.reason}")) for region in regions]
        return self.album.tile(image_id, self._image_px, [*hatched, *marks])


def _mark(row: Verdict) -> Mark:
    number = "" if row.p_correct is None else f" {row.p_correct:.2f}"
    tip = (
        f"{row.label}: p(correct) {share(row.p_correct)}, confidence {share(row.score)}, "
        f"consistency {share(row.consistency)}, {count(row.checks)} pastes. {row.reason or ''}"
    )
    return Mark(row.fate, f"{row.label}{number}", tip.strip())
