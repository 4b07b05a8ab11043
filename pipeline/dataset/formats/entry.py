"""What a format adapter yields: one image with its labels as the file states them, not yet checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.records import ImportIssue, Sample


@dataclass(frozen=True, slots=True)
class EntryBox:
    """One labelled box as a file states it, unchecked: it may lie outside the image or be inverted.

    Attributes:
        x1: Left edge, in pixels or, where `Entry.relative`, as a share of the image's width.
        y1: Top edge.
        x2: Right edge.
        y2: Bottom edge.
        label: Class name.
        where: How a person finds it in the file: `annotation 17`, `line 3`, `object 2`.
        ignore: `crowd` or `difficult` for boxes that neither train nor count; empty for ordinary ones.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    where: str
    ignore: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One image as a file states it.

    Attributes:
        uri: Where the image should lie.
        boxes: Its boxes.
        width: Width that the annotation file states, None where it states none.
        height: Height that the annotation file states, None where it states none.
        relative: True where boxes are shares (0 to 1) of the image as a person sees it, so that a reader need
            not open the image.
        refused: Why the entry is no image to read, in words; empty for every other.
    """

    uri: str
    boxes: tuple[EntryBox, ...] = ()
    width: int | None = None
    height: int | None = None
    relative: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import found.

    Attributes:
        samples: One sample per image that can be named; bad ones are in state `quarantined`.
        issues: Everything that was found wrong or converted, for the report.
    """

    samples: tuple[Sample, ...]
    issues: tuple[ImportIssue, ...]

    @staticmethod
    def join(results: Iterable[ImportResult]) -> ImportResult:
        """Put several results in one, in order."""
        kept = list(results)
        return ImportResult(
            tuple(sample for result in kept for sample in result.samples),
            tuple(issue for result in kept for issue in result.issues),
        )
