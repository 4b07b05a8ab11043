"""What changed between two versions, as a page: numbers, and images before and after, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pipeline.dataset.diff import diff_versions
from pipeline.dataset.store import SampleStore
from pipeline.report.album import Album, ReadPixels
from pipeline.report.compared_versions import Comparison
from pipeline.report.comparison import Shown, before_after, box_table, headline, image_table
from pipeline.report.page import environment
from pipeline.settings.report import ReportSettings


@dataclass(frozen=True)
class Compared:
    """Which versions, and how they are shown.

    Attributes:
        name: Of the project.
        old, new: Numbers of the versions.
        images: Most images that are drawn.
    """

    name: str
    old: int
    new: int
    images: int


def render_diff(store: SampleStore, compared: Compared, read_pixels: ReadPixels, settings: ReportSettings) -> str:
    """Write the page.

    Args:
        store: The sample table.
        compared: Which versions.
        read_pixels: Gives the pixels of a URI; an image that it cannot read becomes a tile that says why.
        settings: How large images are.

    Returns:
        HTML, self-contained; images with the most changed boxes come first.

    Raises:
        ArtefactError: There is no such version.
        RowsGoneError: The rows of one were removed.
    """
    before, after = store.changed_rows(compared.old, compared.new)
    found = Comparison.of(before, after, diff_versions(before, after), compared.images)
    shown = Shown(partial(Album, read_pixels), compared.images, settings.image_px, "`--images` shows more.")
    return (
        environment()
        .get_template("diff.html")
        .render(
            name=compared.name,
            old=compared.old,
            new=compared.new,
            headline=headline(found.numbers),
            images=image_table(found.numbers),
            boxes=box_table(found.numbers),
            gallery=before_after(found, shown),
        )
    )
