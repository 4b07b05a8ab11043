"""Pages for people that work offline: an index, and a page per cycle, dataset version, class and model."""

from pipeline.report.contents import CycleContents, IndexContents, Turn
from pipeline.report.names import LEAD_PAGE, page_name
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
