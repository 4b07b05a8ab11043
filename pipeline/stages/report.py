"""From artefacts to pages."""

from __future__ import annotations

from pipeline.artefacts import ReportRun
from pipeline.cycle import Cycle, load_cycle
from pipeline.report import LEAD_PAGE, IndexContents, page_name, render_cycle, render_index, render_lead, summary_of
from pipeline.report.album import pixel_reader
from pipeline.report.collect import collect, collect_index
from pipeline.settings import Settings
from pipeline.workspace import Workspace

INDEX = "index.html"


def renew_index(settings: Settings) -> None:
    """Write the index anew where there is one: a version was made between cycles."""
    workspace = Workspace(settings.workspace)
    if workspace.cycles() and workspace.reports.exists(INDEX):
        contents = collect_index(load_cycle(settings.workspace, max(workspace.cycles())))
        workspace.reports.write_bytes(INDEX, render_index(contents).encode())


def report(cycle: Cycle) -> ReportRun:
    """Write the page of a cycle, the page for the lead and the index; all are written anew each time."""
    contents, settings = collect(cycle), cycle.settings
    read_pixels, pages = pixel_reader(settings.data.max_image_pixels), cycle.workspace.reports
    pages.write_bytes(page_name(cycle.number), render_cycle(contents, read_pixels, settings.report).encode())
    pages.write_bytes(LEAD_PAGE, render_lead(contents, read_pixels).encode())
    pages.write_bytes(INDEX, render_index(IndexContents.of(contents, pages.names())).encode())
    summary = summary_of(contents)
    cycle.write(summary)
    run = ReportRun(page=pages.path(page_name(cycle.number)), index=pages.path(INDEX), summary=summary.line)
    cycle.write(run)
    return run
