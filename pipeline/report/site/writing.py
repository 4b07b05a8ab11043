"""Which pages there are, and what each is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from functools import partial

import pyarrow as pa

from pipeline.cycle import Cycle
from pipeline.report import frames
from pipeline.report.album import ReadPixels, pixel_reader
from pipeline.report.contents import CycleContents, IndexContents, checked_split
from pipeline.report.names import INDEX_PAGE, LEAD_PAGE, class_page, model_page, page_name, version_page
from pipeline.report.page import render_cycle, render_index, render_lead
from pipeline.report.site.class_contents import ClassHistory
from pipeline.report.site.class_page import render_class
from pipeline.report.site.class_pictures import ClassPictures
from pipeline.report.site.data import cycle_data, index_data, lead_data
from pipeline.report.site.model_contents import ModelHistory
from pipeline.report.site.model_page import render_model
from pipeline.report.site.pages import Pages, Rendered, table_digest
from pipeline.report.site.project import Project, project_of
from pipeline.report.site.thumbnails import Thumbnails
from pipeline.report.site.version_page import render_version, version_contents


def write_cycle(cycle: Cycle, contents: CycleContents, pages: Pages) -> None:
    """Write the page of a cycle, and as of it the page for the lead.

    Args:
        cycle: The cycle.
        contents: What it made.
        pages: Where they are written.
    """
    settings, read = cycle.settings.report, _reader(cycle)
    shown = (_without_tables(contents), settings)
    pages.write(
        page_name(cycle.number),
        shown,
        lambda: Rendered(render_cycle(contents, read, settings), cycle_data(contents)),
    )
    pages.write(LEAD_PAGE, shown, lambda: Rendered(render_lead(contents, read), lead_data(contents)))


def write_project(cycle: Cycle, index: IndexContents, pages: Pages) -> None:
    """Write the pages of versions, classes and models, and the index.

    Args:
        cycle: The newest cycle.
        index: What the index shows; its links are found here.
        pages: Where they are written.
    """
    project = project_of(cycle, index)
    thumbnails = Thumbnails(cycle.workspace.reports, _reader(cycle))
    made = [*_write_versions(project, pages, thumbnails), *_write_classes(project, pages, thumbnails)]
    made += _write_models(project, pages)
    pages.table("cycles", frames.cycles(index.turns))
    pages.table("evaluation", frames.evaluation(index.turns))
    pages.table("versions", frames.versions(index.versions, project.tags))
    linked = replace(index, pages=frozenset({*pages.names(""), *made}))
    shown = (replace(linked, pages=frozenset()), sorted(linked.pages))
    pages.write(INDEX_PAGE, shown, lambda: Rendered(render_index(linked), index_data(linked)))


def _write_versions(project: Project, pages: Pages, thumbnails: Thumbnails) -> Iterable[str]:
    made, settings = [], project.cycle.settings.report
    for version in project.versions:
        contents = version_contents(project, version.number, pages.names(""), settings)
        made.append(version_page(version.number))
        pages.write(made[-1], contents, partial(render_version, contents, project.cycle, thumbnails.album))
    return made


def _write_classes(project: Project, pages: Pages, thumbnails: Thumbnails) -> Iterable[str]:
    made, settings = [], project.cycle.settings.report
    history = ClassHistory(project, checked_split(project.turns))
    pictures = ClassPictures(project.cycle, thumbnails.album, settings)
    cycles = [turn.cycle for turn in project.turns if page_name(turn.cycle) in pages.names("")]
    for label in history.labels():
        made.append(class_page(label))
        contents = history.contents(label, cycles, settings)
        pages.write(made[-1], contents, partial(render_class, contents, pictures))
    return made


def _write_models(project: Project, pages: Pages) -> Iterable[str]:
    history, made = ModelHistory(project, pages.names("")), []
    for model_id in project.models:
        made.append(model_page(model_id))
        contents = history.contents(model_id)
        pages.write(made[-1], contents, partial(render_model, contents))
    return made


def _reader(cycle: Cycle) -> ReadPixels:
    return pixel_reader(cycle.settings.data.max_image_pixels)


def _without_tables(contents: CycleContents) -> dict[str, object]:
    """Contents with a digest in the place of each table."""
    values = {field.name: getattr(contents, field.name) for field in fields(contents)}
    return {name: table_digest(one) if isinstance(one, pa.Table) else one for name, one in values.items()}
