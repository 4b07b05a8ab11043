"""From artefacts to pages."""

from __future__ import annotations

from pipeline.artefacts import ReportRun
from pipeline.cycle import Cycle, load_cycle
from pipeline.report.collect import collect, collect_index
from pipeline.report.contents import IndexContents
from pipeline.report.names import INDEX_PAGE, page_name
from pipeline.report.site.pages import Pages
from pipeline.report.site.writing import write_cycle, write_project
from pipeline.report.summary import summary_of
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def renew_index(settings: Settings) -> None:
    """Renew the project's pages where there are any: something changed between cycles."""
    workspace = Workspace(settings.workspace)
    if workspace.cycles() and workspace.reports.exists(INDEX_PAGE):
        cycle = load_cycle(settings.workspace, max(workspace.cycles())).at_rest()
        pages = Pages(workspace.reports)
        write_project(cycle, collect_index(cycle), pages)
        pages.finish()


def report(cycle: Cycle) -> ReportRun:
    """Write the page of a cycle and those of the project; a page that would show the same is left as it is."""
    resting, pages = cycle.at_rest(), Pages(cycle.workspace.reports)
    contents = collect(resting)
    write_cycle(resting, contents, pages)
    write_project(resting, IndexContents.of(contents, ()), pages)
    pages.finish()
    summary = summary_of(contents)
    cycle.write(summary)
    reports = cycle.workspace.reports
    run = ReportRun(page=reports.path(page_name(cycle.number)), index=reports.path(INDEX_PAGE), summary=summary.line)
    cycle.write(run)
    return run
