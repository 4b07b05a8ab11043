"""Images on the page of a class: machine boxes that people changed, and boxes about which the evidence disagrees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cycle import Cycle
from pipeline.records import CHECK_SCHEMA, SELECTION_SCHEMA, Fate, ImageRef
from pipeline.report.album import Album
from pipeline.report.cards import FATES, Card, Gallery
from pipeline.report.choices import disputed
from pipeline.report.comparison import AlbumOf
from pipeline.report.rows import Verdict
from pipeline.report.site.mistakes import Mistake, mistakes_of
from pipeline.report.tiles import Mark
from pipeline.report.wording import cut, share
from pipeline.settings.report import ReportSettings

_WORDS = {"deleted": "deleted by people", "moved": "moved by people", "relabelled": "given another class by people"}


@dataclass(frozen=True)
class ClassPictures:
    """What the pages of all classes show of one cycle, read when the first of them is made.

    Attributes:
        cycle: The newest one.
        album: Gives the images.
        settings: How many are shown, how large.
    """

    cycle: Cycle
    album: AlbumOf
    settings: ReportSettings

    @cached_property
    def _mistakes(self) -> list[Mistake]:
        return mistakes_of(self.cycle)

    @cached_property
    def _selection(self) -> pa.Table:
        return self._table("selection.parquet", SELECTION_SCHEMA)

    @cached_property
    def _checked(self) -> pa.Table:
        return self._table("checks.parquet", pa.schema([CHECK_SCHEMA.field("proposal_id")]))

    def _table(self, name: str, schema: pa.Schema) -> pa.Table:
        folder = self.cycle.folder
        return folder.read_table(name, schema.names) if folder.exists(name) else schema.empty_table()

    def galleries(self, label: str) -> tuple[Gallery, ...]:
        """The galleries of a class."""
        return (self._changed(label), self._disputed(label))

    def _changed(self, label: str) -> Gallery:
        own = [mistake for mistake in self._mistakes if label in {mistake.label, mistake.became_label}]
        shown = own[: self.settings.gallery_images]
        album = self._album(mistake.image_id for mistake in shown)
        return Gallery(
            "changed",
            "Machine boxes that people changed",
            "In the answers that the newest cycle harvested, those that the machine was surest of first: its box in "
            "red, what a person drew in green.",
            tuple(self._mistake(album, mistake) for mistake in shown),
            "Nobody changed a machine box of this class in the newest cycle.",
            cut(len(shown), len(own), "boxes", "the harvests of the cycle"),
        )

    def _mistake(self, album: Album, mistake: Mistake) -> Card:
        named = mistake.label if mistake.became is None else ""  # its name would lie below the other one
        boxes = [(mistake.box, Mark("gone", named, f"machine: {mistake.label}"))]
        if mistake.became is not None:
            boxes.append((mistake.became, Mark("new", mistake.became_label, f"person: {mistake.became_label}")))
        became = f" to {mistake.became_label}" if mistake.what == "relabelled" else ""
        return Card(
            f"{_WORDS[mistake.what]}{became}",
            album.uri(mistake.image_id),
            (f"p(correct) of the machine's box: {share(mistake.p_correct)}.", f"Answered by {mistake.annotator}."),
            (album.tile(mistake.image_id, self.settings.image_px, boxes),),
        )

    def _disputed(self, label: str) -> Gallery:
        own = self._selection.filter(pc.equal(self._selection["label"], label))
        verdicts, total = disputed(own, self._checked, self.settings.gallery_images)
        album = self._album(verdict.image_id for verdict in verdicts)
        return Gallery(
            "disputed",
            "Boxes about which the evidence disagrees",
            "First boxes that the detector was sure of and that were not found again when they were pasted into other "
            "images, then boxes that it was unsure of and that were.",
            tuple(self._verdict(album, verdict) for verdict in verdicts),
            "No box of this class was pasted in the newest cycle.",
            cut(len(verdicts), total, "checked boxes", "selection.parquet"),
        )

    def _verdict(self, album: Album, verdict: Verdict) -> Card:
        mark = Mark(verdict.fate, verdict.label, verdict.reason or "")
        return Card(
            FATES[Fate(verdict.fate)],
            album.uri(verdict.image_id),
            (
                f"Confidence {share(verdict.score)}, consistency {share(verdict.consistency)}, p(correct) "
                f"{share(verdict.p_correct)}.",
            ),
            (album.tile(verdict.image_id, self.settings.image_px, [(verdict.xyxy, mark)]),),
        )

    def _album(self, image_ids: Iterable[str]) -> Album:
        ids = sorted(set(image_ids))
        return self.album(self.cycle.store.rows_of(ids, columns=[*ImageRef._fields, "ignore"]), ids)
