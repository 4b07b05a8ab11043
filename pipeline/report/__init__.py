"""Pages for people: one per cycle and an index, each a single file that works offline."""

from pipeline.report.contents import CycleContents, IndexContents, Turn, page_name
from pipeline.report.lead_page import LEAD_PAGE
from pipeline.report.page import render_cycle, render_index, render_lead
from pipeline.report.summary import Summary, summarize, summary_of

__all__ = [
    "LEAD_PAGE",
    "CycleContents",
    "IndexContents",
    "Summary",
    "Turn",
    "page_name",
    "render_cycle",
    "render_index",
    "render_lead",
    "summarize",
    "summary_of",
]
