"""`crosscheck versions diff --html`: the page of a difference, written to a file."""

from __future__ import annotations

from pipeline.cli.console import absolute_place
from pipeline.dataset.store import SampleStore
from pipeline.folder import Folder
from pipeline.report.album import pixel_reader
from pipeline.report.diff_page import Compared, render_diff
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def write_page(settings: Settings, versions: tuple[int, int], file: str, images: int) -> None:
    """Write what changed between two versions, whole or not at all.

    Args:
        settings: The project.
        versions: The old and the new one.
        file: Path or URI.
        images: Most images that are drawn.
    """
    store = SampleStore(Workspace(settings.workspace).samples_uri)
    compared = Compared(settings.name, *versions, images)
    page = render_diff(store, compared, pixel_reader(settings.data.max_image_pixels), settings.report)
    folder, name = absolute_place(file).rsplit("/", 1)
    Folder(folder).write_bytes(name, page.encode())
