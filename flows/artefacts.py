"""What a run's page in Prefect shows of a cycle."""

from __future__ import annotations

import base64

from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from pipeline.stages.cycle import Cycle
from pipeline.stages.report import progress_figure, summary


def show_report(cycle: Cycle) -> None:
    """Put the summary, a table and the figure of progress on the run's page."""
    told = summary(cycle)
    create_markdown_artifact(told.markdown, key="cycle-summary", description=told.line)
    create_table_artifact(told.rows, key="cycle-numbers", description=f"cycle {cycle.number} in numbers")
    image = base64.b64encode(progress_figure(cycle).encode()).decode()
    create_image_artifact(
        f"data:image/svg+xml;base64,{image}", key="average-precision", description="average precision by cycle"
    )
