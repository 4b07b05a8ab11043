"""What a run's page in Prefect shows of a cycle."""

from __future__ import annotations

import base64
from functools import partial

from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from flows.page import Page
from pipeline.cycle import Cycle


def show_report(cycle: Cycle) -> None:
    """Put the summary, a table and the figure of progress on the run's page."""
    from pipeline.report import summarize  # which draws, and a flow's first line should not wait for that

    summary, page = summarize(cycle), Page()
    figure = f"data:image/svg+xml;base64,{base64.b64encode(summary.figure.encode()).decode()}"
    numbers = f"cycle {cycle.number} in numbers"
    page.show(partial(create_markdown_artifact, summary.markdown, key="cycle-summary", description=summary.line))
    page.show(partial(create_table_artifact, summary.rows, key="cycle-numbers", description=numbers))
    page.show(partial(create_image_artifact, figure, key="average-precision", description="average precision by cycle"))
