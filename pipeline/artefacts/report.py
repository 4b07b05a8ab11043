"""Where the pages of a cycle are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipeline.artefacts.stage import StageRecord


@dataclass(frozen=True, kw_only=True)
class ReportRun(StageRecord):
    """What was written: paths of the cycle's page and of the index, and the cycle in one line."""

    FILE: ClassVar[str] = "report.json"
    MADE_BY: ClassVar[str] = "crosscheck report"

    page: str
    index: str
    summary: str
