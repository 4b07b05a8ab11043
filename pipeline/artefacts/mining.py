"""What mining found and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar

from pipeline.artefacts.stage import StageRecord


@dataclass(frozen=True, slots=True)
class MiningCost:
    """What proposals and their checks cost.

    Attributes:
        proposals: Boxes that were proposed.
        augmented_views: Images that were detected a second time, mirrored and enlarged.
        closeups: Windows that show a proposal enlarged in its own surroundings.
        pastes: Windows that show a proposal in a host.
        canvases: Images that the windows were packed into.
        passes: Forward passes over batches of canvases.
        due: Boxes that are to teach or to be asked about, as far as is known before they are pasted.
        pasted: Those that were pasted, now or by the same detector before.
        readings: Pastes that were read for each of these, summed; boxes of one object share a window.
        seconds: By step: `decode` (waiting for images), `detect`, `propose`, `paste`, `match`.
    """

    proposals: int = 0
    augmented_views: int = 0
    closeups: int = 0
    pastes: int = 0
    canvases: int = 0
    passes: int = 0
    due: int = 0
    pasted: int = 0
    readings: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def pasted_share(self) -> float | None:
        """Share of the boxes that are due for pasting that were pasted; None where none is."""
        return self.pasted / self.due if self.due else None

    @property
    def pastes_per_box(self) -> float | None:
        """In how many hosts a pasted box was looked for, on average; None where none was pasted."""
        return self.readings / self.pasted if self.pasted else None

    @property
    def windows_per_canvas(self) -> float | None:
        """How many windows share a canvas, on average; None without canvases."""
        return (self.closeups + self.pastes) / self.canvases if self.canvases else None

    @staticmethod
    def total(parts: Iterable[MiningCost]) -> MiningCost:
        """Sums, number by number."""
        parts = list(parts)
        counts = {field.name: sum(getattr(part, field.name) for part in parts) for field in fields(MiningCost)[:-1]}
        steps = sorted({step for part in parts for step in part.seconds})
        return MiningCost(
            **counts, seconds={step: sum(part.seconds.get(step, 0.0) for part in parts) for step in steps}
        )


@dataclass(frozen=True, slots=True)
class UnreadableImage:
    """An image that was fine when it was imported and cannot be read now, and why."""

    image_id: str
    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class MiningPart:
    """One part of the pool that is mined: its cost, and images that could not be read."""

    cost: MiningCost
    faults: tuple[UnreadableImage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MiningRun(StageRecord):
    """What was mined with which model.

    Attributes:
        model_id: The detector.
        images: Pool images.
        held_back_images: Held-back labelled images that calibrate it.
        cost: Of the pool.
        held_back_cost: Of the held-back images.
        faults: Images that could not be read.
    """

    FILE: ClassVar[str] = "mining.json"
    MADE_BY: ClassVar[str] = "crosscheck mine"

    model_id: str
    images: int
    held_back_images: int
    cost: MiningCost
    held_back_cost: MiningCost
    faults: tuple[UnreadableImage, ...] = ()
