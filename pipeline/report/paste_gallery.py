"""The gallery of pastes: proposals whose re-detections contradict the detector most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.records import Fate
from pipeline.report.album import Album, ReadPixels
from pipeline.report.cards import FATES, Card, Gallery
from pipeline.report.choices import disputed
from pipeline.report.contents import CycleContents
from pipeline.report.pastes import PasteTiles, SharedPaste
from pipeline.report.rows import Check, DetectedBox, Verdict, rows_of
from pipeline.report.wording import cut, file_name, plural, share
from pipeline.settings.report import ReportSettings

_PASTES_SHOWN = 4


def paste_gallery(contents: CycleContents, read_pixels: ReadPixels, settings: ReportSettings) -> Gallery:
    """Proposals whose re-detections contradict the detector, with their pastes as the detector saw them."""
    verdicts, total = disputed(contents.selection, contents.checks, settings.gallery_images // 2)
    ids = [verdict.proposal_id for verdict in verdicts]
    checks = _checks_of(contents, ids)
    shown = {check.shown_id for rows in checks.values() for check in rows}
    drawn = _checks_of(contents, shown)
    boxes = rows_of(contents.proposals, DetectedBox, "proposal_id", [*ids, *shown])
    hosts = (check.host_id for rows in checks.values() for check in rows[:_PASTES_SHOWN])
    album = Album(read_pixels, contents.samples, [*(verdict.image_id for verdict in verdicts), *hosts])
    drawing = PasteTiles(album, contents.mining_settings, contents.input_size_px, settings.image_px // 2)
    cards = []
    for verdict in verdicts:
        own, (box,) = checks[verdict.proposal_id], boxes[verdict.proposal_id]
        pastes = [
            SharedPaste(check, drawn[check.shown_id][check.number], boxes[check.shown_id][0].xyxy)
            for check in own[:_PASTES_SHOWN]
        ]
        tiles = drawing.tiles(verdict.image_id, verdict.label, box.xyxy, pastes)
        uri = album.uri(verdict.image_id)
        cards.append(Card(f"{verdict.label} in {file_name(uri)}", uri, _lines(verdict, own), tiles))
    return Gallery(
        "pastes",
        "Pastes: was the object found again in another image?",
        "Where the re-detections contradict the detector most: first boxes that it was sure of and that were not found "
        "again, then boxes that it was unsure of and that were. After the source come the pastes, each as the detector "
        "saw it, pixel by pixel.",
        tuple(cards),
        "No box was pasted in this cycle.",
        cut(len(verdicts), total, "checked boxes", "checks.parquet"),
    )


def _checks_of(contents: CycleContents, ids: Iterable[str]) -> dict[str, list[Check]]:
    """Pastes of some proposals, in order: that of number 0 comes first."""
    return {key: sorted(rows, key=_number) for key, rows in rows_of(contents.checks, Check, "proposal_id", ids).items()}


def _number(check: Check) -> int:
    return check.number


def _lines(verdict: Verdict, checks: Sequence[Check]) -> tuple[str, ...]:
    hits = sum(check.hit for check in checks)
    sure = (verdict.score or 0.0) >= (verdict.consistency or 0.0)
    why = f" ({verdict.reason})" if verdict.reason else ""
    lines = (
        f"Confidence {'' if sure else 'only '}{share(verdict.score)}, consistency {'only ' if sure else ''}"
        f"{share(verdict.consistency)}: found again in {hits} of {plural(len(checks), 'paste')}.",
        f"p(correct) {share(verdict.p_correct)}: {FATES[Fate(verdict.fate)]}{why}.",
        cut(_PASTES_SHOWN, len(checks), "pastes", "checks.parquet"),
    )
    return tuple(filter(None, lines))
