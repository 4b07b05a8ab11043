"""Pages for people: one per cycle and an index, each a single file that works offline."""

from pipeline.report.contents import CycleContents, IndexContents, Turn, page_name
from pipeline.report.page import render_cycle, render_index
from pipeline.report.summary import Summary, summarize, summary_of

__all__ = [
    "CycleContents",
    "IndexContents",
    "Summary",
    "Turn",
    "page_name",
    "render_cycle",
    "render_index",
    "summarize",
    "summary_of",
]
