"""What every record of a stage has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """The artefact of one stage of a cycle.

    Attributes:
        FILE: Name of the JSON file in the cycle's folder.
        MADE_BY: The command that makes it, named where it is missing or damaged.
        seconds: How long the stage took.
    """

    FILE: ClassVar[str]
    MADE_BY: ClassVar[str] = "crosscheck cycle"

    seconds: float = 0.0
