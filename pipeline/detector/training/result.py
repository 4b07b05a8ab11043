"""What a run of fine-tuning was like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TrainingResult:
    """What a run was like.

    Attributes:
        steps: Steps done, over all attempts.
        seconds: Time spent, over all attempts.
        images: Images shown.
        curve: Every ten steps: `step`, `loss`, `parts` by name, `lr`.
        faults: Images that could not be read: (uri, reason), each once.
        stopped_early: Whether validation AP had stopped rising.
        rollbacks: What went wrong and was taken back: `step`, `to`, `cause`, `image_ids`.
        precision: What it was computed in.
    """

    steps: int = 0
    seconds: float = 0.0
    images: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    stopped_early: bool = False
    rollbacks: list[dict[str, Any]] = field(default_factory=list)
    precision: str = ""

    @property
    def images_per_s(self) -> float:
        """Images shown a second."""
        return self.images / self.seconds if self.seconds else 0.0
