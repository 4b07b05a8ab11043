"""What a run of fine-tuning is like, while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.artefacts import Look, Rollback, TrainingStep
from pipeline.detector.training.checkpoint import StateDict


@dataclass
class TrainingResult:
    """What a run was like so far.

    Attributes:
        steps: Steps done, over all attempts.
        seconds: Time spent, over all attempts.
        images: Images shown.
        curve: Every ten steps.
        faults: Images that could not be read: (uri, reason), each once.
        looks: At held-back images.
        plateau_step: Where they had nothing more to say; None where they went on to, or nobody looked.
        rollbacks: What went wrong and was taken back.
        precision: What it was computed in.
    """

    steps: int = 0
    seconds: float = 0.0
    images: int = 0
    curve: list[TrainingStep] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    plateau_step: int | None = None
    rollbacks: list[Rollback] = field(default_factory=list)
    precision: str = ""

    @property
    def images_per_s(self) -> float:
        """Images shown per second."""
        return self.images / self.seconds if self.seconds else 0.0

    def state_dict(self) -> StateDict:
        """Plain values, which a checkpoint may hold."""
        return asdict(self)

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> TrainingResult:
        """Read what `state_dict` gave."""
        curve = [TrainingStep(**step) for step in state["curve"]]
        rollbacks = [
            Rollback(**{**rollback, "image_ids": tuple(rollback["image_ids"])}) for rollback in state["rollbacks"]
        ]
        looks = [Look(**look) for look in state["looks"]]
        return TrainingResult(**{**state, "curve": curve, "rollbacks": rollbacks, "looks": looks})
