"""The page of a dataset version: where it comes from, what it holds, and what it changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from pipeline.cycle import Cycle
from pipeline.dataset.diff import ChangeCounts, DiffNumbers
from pipeline.dataset.versions import Counts, Version
from pipeline.report import comparison, frames
from pipeline.report.compared_versions import Comparison
from pipeline.report.comparison import AlbumOf, Shown
from pipeline.report.names import data_name, model_page, page_name, up, version_page
from pipeline.report.page import environment
from pipeline.report.site.pages import Rendered
from pipeline.report.site.project import Project
from pipeline.report.tables import Cell, Column, Link, Table
from pipeline.report.version_changes import comparison_of
from pipeline.report.wording import count, moment, plural, short_id, signed
from pipeline.settings.report import ReportSettings

_GROUPS = {
    "images": ("Images by state", "State"),
    "splits": ("Images by split", "Split"),
    "boxes": ("Boxes by source", "Source"),
    "labels": ("Boxes by class", "Class"),
}
"""Caption and first column of each group of `Version.counts`."""

Detail = tuple[str, tuple[Cell, ...]]
"""A name, and what belongs to it."""


@dataclass(frozen=True, slots=True)
class VersionContents:
    """Everything on the page of one version but what it changed, which follows from its rows and never changes.

    Attributes:
        name: Of the project.
        version: The version.
        before: What its parent holds.
        change: What it changed, as it was counted while its rows were there; None where it was not.
        tags: Names that people gave it.
        has_next: Whether there is a newer version.
        readable: Whether its rows, and those of its parent, are still there.
        has_model: Whether the model whose boxes it brought has a page.
        taught: Models that learnt from it.
        has_cycle: Whether the cycle that made it has a page.
        settings: How many images are shown, how large.
    """

    name: str
    version: Version
    before: Counts
    change: ChangeCounts | None
    tags: tuple[str, ...]
    has_next: bool
    readable: bool
    has_model: bool
    taught: tuple[str, ...]
    has_cycle: bool
    settings: dict[str, Any]


def version_contents(project: Project, number: int, pages: set[str], settings: ReportSettings) -> VersionContents:
    """What the page of a version shows.

    Args:
        project: The project.
        number: Of the version.
        pages: Names of the pages of cycles.
        settings: How many images are shown, how large.
    """
    version = project.versions[number]
    needed = {number} if version.parent is None else {number, version.parent}
    return VersionContents(
        name=project.name,
        version=version,
        before=project.versions[version.parent].counts if version.parent is not None else {},
        change=project.changes.get(number),
        tags=tuple(project.tags.of(number)),
        has_next=number + 1 < len(project.versions),
        readable=needed <= project.readable,
        has_model=version.model_id in project.models,
        taught=tuple(sorted(name for name, card in project.models.items() if card.dataset_version == number)),
        has_cycle=version.cycle is not None and page_name(version.cycle) in pages,
        settings=settings.model_dump(),
    )


def render_version(contents: VersionContents, cycle: Cycle, album: AlbumOf) -> Rendered:
    """Write the page; what its comparison costs follows what the version changed.

    Args:
        contents: The version.
        cycle: The newest one.
        album: Gives the images that are shown.
    """
    version = contents.version
    compared = comparison_of(cycle, version) if contents.readable and version.parent is not None else None
    html = (
        environment()
        .get_template("version.html")
        .render(
            name=contents.name,
            version=version,
            details=_details(contents),
            held=held(version.counts, contents.before),
            absent=_absent(contents),
            counted=counted(contents.change) if contents.change and not contents.readable else None,
            made_with=json.dumps(version.details, indent=2) if version.details else "",
            neighbours=_neighbours(contents),
            data_file=up(data_name(version_page(version.number))),
            **(_changes(contents, compared, album) if compared else {"headline": ""}),
        )
    )
    differences = frames.differences(compared.numbers if compared else DiffNumbers())
    shown = {each.name: getattr(contents, each.name) for each in fields(contents)}
    return Rendered(html, {**shown, "differences": json.loads(differences.to_json(orient="records"))})


def held(now: Counts, before: Counts) -> tuple[Table, ...]:
    """What a version holds beside its parent.

    Returns:
        One table per group of counts that has any, the largest number first.
    """
    tables = []
    for group, (caption, title) in _GROUPS.items():
        own, old = now.get(group, {}), before.get(group, {})
        ranked = sorted({*own, *old}, key=lambda name: (-own.get(name, 0), name))
        rows = tuple((name, count(own.get(name, 0)), signed(own.get(name, 0) - old.get(name, 0))) for name in ranked)
        columns = (Column(title, numeric=False), Column("Number"), Column("Since its parent"))
        if rows:
            tables.append(Table(caption, columns, rows))
    return tuple(tables)


def counted(change: ChangeCounts) -> Table:
    """What a version changed by the numbers that outlive its rows.

    Returns:
        One row per transition of images, and per source and class of the boxes that were added or removed.
    """
    groups = (
        ("images", {name.replace("->", " → "): number for name, number in change.images.items()}),
        ("boxes added, by source", change.added),
        ("boxes added, by class", change.added_labels),
        ("boxes removed, by source", change.removed),
        ("boxes removed, by class", change.removed_labels),
    )
    rows = tuple((what, name, count(number)) for what, own in groups for name, number in sorted(own.items()))
    columns = (Column("Change", numeric=False), Column("Which", numeric=False), Column("Number"))
    return Table("What it changed, as it was counted", columns, rows)


def _changes(contents: VersionContents, compared: Comparison, album: AlbumOf) -> dict[str, object]:
    settings, version = ReportSettings.model_validate(contents.settings), contents.version
    command = f"crosscheck versions diff {version.parent} {version.number} --html changes.html --images"
    shown = Shown(album, settings.gallery_images, settings.image_px, f"`{command}` shows more.")
    return {
        "headline": comparison.headline(compared.numbers),
        "images": comparison.image_table(compared.numbers),
        "boxes": comparison.box_table(compared.numbers),
        "gallery": comparison.before_after(compared, shown),
    }


def _absent(contents: VersionContents) -> str:
    """Why there is no comparison; empty where there is one."""
    if contents.version.parent is None:
        return "This is the first version: everything in it is new."
    if contents.readable:
        return ""
    return (
        "Its rows, or those of its parent, were removed by `crosscheck versions vacuum`: what it changed cannot be "
        "shown any more, and it cannot be restored, compared or exported."
    )


def _details(contents: VersionContents) -> tuple[Detail, ...]:
    version = contents.version
    details: list[Detail] = [
        ("Committed", (moment(version.timestamp),)),
        ("Why", (version.why,)),
        ("Made by", (_maker(contents),)),
        ("Parent", (_version_link(version.parent),)),
        ("Rows of", (_version_link(version.restored),) if version.restored is not None else ()),
        ("Tags", (", ".join(contents.tags),) if contents.tags else ()),
        ("Model", (_model_link(version.model_id, contents.has_model),) if version.model_id else ()),
        ("Taught", tuple(_model_link(name, True) for name in contents.taught)),
        ("Code", (version.code_version,) if version.code_version else ()),
        ("Settings", (version.settings_digest,) if version.settings_digest else ()),
        ("Images", (plural(version.count("images"), "image") if version.counts else "not counted",)),
    ]
    return tuple(detail for detail in details if detail[1])


def _maker(contents: VersionContents) -> Cell:
    version = contents.version
    if version.foreign:
        return "another program"
    if version.cycle is None:
        return "a command between cycles"
    name = f"cycle {version.cycle}"
    return Link(name, up(page_name(version.cycle))) if contents.has_cycle else name


def _version_link(number: int | None) -> Cell:
    return "none" if number is None else Link(f"version {number}", up(version_page(number)))


def _model_link(model_id: str, there: bool) -> Cell:
    return Link(short_id(model_id), up(model_page(model_id))) if there else short_id(model_id)


def _neighbours(contents: VersionContents) -> tuple[Link, ...]:
    """The versions before and after."""
    number = contents.version.number
    before = [Link(f"← Version {number - 1}", up(version_page(number - 1)))] if number else []
    after = [Link(f"Version {number + 1} →", up(version_page(number + 1)))] if contents.has_next else []
    return (*before, *after)
