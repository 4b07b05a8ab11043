"""A proposal and its pastes as tiles: the source, and what the detector was shown of each host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.boxes import as_boxes
from pipeline.errors import ImageFault
from pipeline.report.album import Album
from pipeline.report.redrawing import InputImage, cut_again, redraw
from pipeline.report.rows import Check, Corners
from pipeline.report.tiles import Mark, Tile, encode, place, shrink, unreadable
from pipeline.report.wording import file_name, share
from pipeline.settings import MiningSettings

_SURROUNDINGS = 1.6
_LEAST_VIEW = 0.3


@dataclass(frozen=True, slots=True)
class SharedPaste:
    """A paste, which proposals at one place may share.

    Attributes:
        read: What became of the proposal in question there.
        drawn: The same paste as a check of the proposal that was cut out.
        box: Where the detector put that one, in pixels of its image.
    """

    read: Check
    drawn: Check
    box: Corners


class PasteTiles:
    """Draws proposals and their pastes.

    Args:
        album: Holds the images of the proposals and the hosts.
        settings: Those that the proposals were mined with.
        input_size_px: Longest side of the detector's input.
        tile_px: Longest side of a tile; a larger one is scaled down.
    """

    def __init__(self, album: Album, settings: MiningSettings, input_size_px: int, tile_px: int) -> None:
        self._album = album
        self._settings = settings
        self._input_size_px = input_size_px
        self._tile_px = tile_px

    def tiles(self, image_id: str, label: str, box: Corners, pastes: Sequence[SharedPaste]) -> tuple[Tile, ...]:
        """Show one proposal and its pastes.

        Args:
            image_id: The proposal's image.
            label: Its class.
            box: Where the detector put it, in pixels of the image.
            pastes: Those that it was looked for in.

        Returns:
            The source, then one tile per paste; an image that cannot be read gives a tile that says why.
        """
        subject = file_name(self._album.uri(image_id))
        try:
            source = self._read(image_id)
        except ImageFault as fault:
            return (unreadable(subject, fault, "source"),)
        return (self._source(source, label, box), *(self._paste(paste, source) for paste in pastes))

    def _source(self, source: InputImage, label: str, box: Corners) -> Tile:
        x1, y1, x2, y2 = _surroundings(source.to_input(box)[0].tolist(), *source.size[0].tolist())
        view = source.to_own(as_boxes([(x1, y1, x2, y2)]))
        mark = place(Mark("paste", label, f"the {label} that was cut out"), box, view)
        pixels = shrink(source.pixels[y1:y2, x1:x2], self._tile_px)
        return encode(pixels, f"source {file_name(source.ref.uri)}", [mark], "source")

    def _paste(self, paste: SharedPaste, source: InputImage) -> Tile:
        check, crop = paste.read, cut_again(source, paste.box, self._settings)
        subject, caption = f"host {file_name(self._album.uri(check.host_id))}", _outcome(check)
        try:
            drawn = redraw(paste.drawn, crop, self._read(check.host_id), self._settings)
        except ImageFault as fault:
            return unreadable(subject, fault, caption)
        marks = [place(Mark("paste", tip="where the object was pasted"), check.pasted, drawn.view)]
        if check.redetection:
            marks.append(place(Mark("redetection", share(check.score), caption), check.redetection, drawn.view))
        pixels = shrink(drawn.pixels, self._tile_px)
        return encode(pixels, subject, marks, caption, lossless=pixels is drawn.pixels)

    def _read(self, image_id: str) -> InputImage:
        pixels = self._album.pixels(image_id, self._input_size_px)
        return InputImage(self._album.ref(image_id), pixels)


def _outcome(check: Check) -> str:
    return f"found again: {share(check.score)}, IoU {share(check.iou)}" if check.hit else "not found again"


def _surroundings(box: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """A square window around a box, moved and shrunk to lie in an image of this size."""
    x1, y1, x2, y2 = box
    wanted = max(2 * _SURROUNDINGS * max(x2 - x1, y2 - y1), _LEAST_VIEW * min(width, height))
    across, down = min(round(wanted), width), min(round(wanted), height)
    left = min(max(round((x1 + x2 - across) / 2), 0), width - across)
    top = min(max(round((y1 + y2 - down) / 2), 0), height - down)
    return left, top, left + across, top + down
