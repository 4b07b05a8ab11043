"""How a cycle begins and ends, and what was imported for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pipeline.artefacts.stage import StageRecord
from pipeline.records import ImportIssue

FORMAT = 3
"""Of everything that a cycle writes; raised when a file or a column changes its name or meaning."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How a cycle began.

    Attributes:
        cycle: Its number, from 0.
        opened_at: When, in UTC.
        settings_digest: Hash of the settings it runs with.
        seed: Drives every random choice.
        name: Name of the project.
        format: Of the cycle's files; those of the first release did not say.
        release: Of crosscheck that opened it; empty where an earlier one did not say.
        hashed_settings: Whether its settings end with their hash; those of earlier releases do not.
    """

    FILE: ClassVar[str] = "cycle.json"
    MADE_BY: ClassVar[str] = "crosscheck cycle"

    cycle: int
    opened_at: datetime
    settings_digest: str
    seed: int
    name: str
    format: int = 1
    release: str = ""
    hashed_settings: bool = False


@dataclass(frozen=True, slots=True)
class WorkspaceFormat:
    """What the newest cycle of a workspace was written by.

    Attributes:
        format: Of its files, see `FORMAT`.
        release: Of crosscheck.
    """

    FILE: ClassVar[str] = "workspace.json"
    MADE_BY: ClassVar[str] = "crosscheck cycle"

    format: int
    release: str = ""


@dataclass(frozen=True, slots=True)
class CycleEnd:
    """That a cycle is finished, and when, in UTC."""

    FILE: ClassVar[str] = "done.json"
    MADE_BY: ClassVar[str] = "crosscheck cycle"

    finished_at: datetime


@dataclass(frozen=True, slots=True)
class RunOfCycle:
    """At which cycle a named run works; kept in `runs/`, so that the run opens no other when it is started twice."""

    MADE_BY: ClassVar[str] = "crosscheck cycle"

    cycle: int


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What one import took in; kept in `imports/`, numbered over the whole project.

    Attributes:
        version: The dataset version; the latest one where nothing was new.
        images: New images by state.
        issues: Everything found wrong with files.
    """

    version: int
    images: Mapping[str, int]
    issues: tuple[ImportIssue, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImportRun(StageRecord):
    """What was imported since the cycle before.

    Attributes:
        version: The dataset version after it.
        imports: Imports of the project so far.
        issues: Everything found wrong with files.
    """

    FILE: ClassVar[str] = "import.json"
    MADE_BY: ClassVar[str] = "crosscheck import"

    version: int
    imports: int
    issues: tuple[ImportIssue, ...] = ()
