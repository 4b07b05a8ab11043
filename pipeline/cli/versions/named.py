"""What the commands about versions share: how a version is named, the table that it is in, and changes in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.dataset.diff import VersionDiff
    from pipeline.dataset.store import SampleStore
    from pipeline.settings import Settings

Named = Annotated[
    str, typer.Argument(help="Version number, tag, `latest`, or `champion`: what the model in use learnt from.")
]


def store_of(settings: Settings) -> SampleStore:
    """The sample table of a project."""
    from pipeline.dataset.store import SampleStore
    from pipeline.workspace import Workspace

    return SampleStore(Workspace(settings.workspace).samples_uri)


def version_of(settings: Settings, name: str) -> int:
    """The number of the version that a person named."""
    from pipeline.detector.models.dataset_versions import version_named
    from pipeline.workspace import Workspace

    return version_named(Workspace(settings.workspace), name)


def counted(counts: dict[str, int]) -> str:
    """Counts by name, in words."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def in_words(changes: VersionDiff) -> list[str]:
    """A line for each kind of change between two versions."""
    values = changes.to_json()
    images = [f"images {kind}: {counted(counts)}" for kind, counts in values["images"].items() if counts]
    boxes = [
        f"boxes {kind}: {counts['total']} ({counted(counts['by_source'])}; {counted(counts['by_label'])})"
        for kind, counts in values["boxes"].items()
        if counts["total"]
    ]
    pairs = [
        f"boxes {pair.change}: {pair.number} {pair.label} ({pair.source}, mean IoU {pair.iou:.3f})"
        for pair in changes.box_pairs
    ]
    return images + boxes + pairs or ["Nothing changed."]
