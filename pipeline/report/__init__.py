"""Pages for people: one a cycle and an index, each a single file that works offline."""

from pipeline.report.artefacts import read_artefact
from pipeline.report.contents import CycleContents, IndexContents, Turn, page_name
from pipeline.report.page import render_cycle, render_index
from pipeline.report.summary import summary_line, summary_markdown, summary_rows

__all__ = [
    "CycleContents",
    "IndexContents",
    "Turn",
    "page_name",
    "read_artefact",
    "render_cycle",
    "render_index",
    "summary_line",
    "summary_markdown",
    "summary_rows",
]
