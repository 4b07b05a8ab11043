"""`crosscheck bench ablation`: how each choice in pasting affects the evidence of pastes, changed one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from pipeline.bench.labeled_mining import LabeledMining
from pipeline.bench.scenario import ScenarioCell, ScenarioResult
from pipeline.errors import SettingsError
from pipeline.mining.reference import PROPOSAL_SCORE, gamma, gate_loss
from pipeline.progress import Progress
from pipeline.records import Split
from pipeline.selection.calibrator import feature_matrix
from pipeline.selection.cascade_fitting import out_of_fold
from pipeline.selection.held_back import HeldBack, cascade_plan
from pipeline.selection.quality import auroc

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "as set": (),
    "no context": ("mining.margin=0",),
    "twice the context": ("mining.margin=0.5", "mining.margin_px=4"),
    "any host": ("mining.host_kind=any",),
    "hosts that hold the class first": ("mining.host_kind=class_held_first",),
    "blurred hosts": ("mining.host_blur=true",),
    "placed anywhere": ("mining.placement=uniform",),
    "no scale jitter": ("mining.scale_jitter=0",),
    "more scale jitter": ("mining.scale_jitter=0.3",),
    "2 hosts": ("mining.hosts=2",),
    "8 hosts": ("mining.hosts=8",),
    "no window": ("mining.window_px=0",),
    "a larger window": ("mining.window=1",),
    "whole hosts": ("mining.window=100",),
    "feathered edges": ("mining.feather_px=4",),
    "higher hit score": ("mining.hit_score=0.3",),
    "lower hit IoU": ("mining.hit_iou=0.5",),
}
"""What each variant changes."""
GATE_ROUNDS = (0, 3, 7)
"""Rounds of the published method whose gate is measured beside the variants; it opens wider every round."""


@dataclass(frozen=True)
class GatedBoxes:
    """Boxes that the published gate lets the machine label, and how many of them are right."""

    boxes: int
    right: int


@dataclass(frozen=True)
class VariantResult(ScenarioResult):
    """How well pastes separate right boxes from wrong ones with one setting changed.

    Attributes:
        variant: A name in `VARIANTS`.
        boxes: Proposals, the same for every variant.
        pastes: Of all of them.
        canvases: That the pastes and close-ups were packed into.
        auroc: By score: `confidence`, `consistency`, their `product`, and `all evidence`, which is p(correct) out of
            fold on the same images.
        gate: By gamma, what the published gate lets through; it ignores pastes.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench ablation"

    variant: str
    boxes: int
    pastes: int
    canvases: int
    auroc: Mapping[str, float | None]
    gate: Mapping[str, GatedBoxes]


@dataclass(frozen=True)
class VariantCell(ScenarioCell):
    """A scenario and one changed setting; the detector is trained once for all variants.

    Attributes:
        variant: A name in `VARIANTS`.
        images: Most images of the test split.

    Raises:
        SettingsError: There is no such variant.
    """

    variant: str
    images: int

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise SettingsError(f"Expected variants among {', '.join(VARIANTS)}, got {self.variant!r}")

    @property
    def changes(self) -> tuple[str, ...]:
        """What the variant changes."""
        return VARIANTS[self.variant]

    @property
    def varied(self) -> tuple[object, ...]:
        """The variant by name."""
        return self.images, self.variant.replace(" ", "_")

    def measure(self, progress: Progress) -> VariantResult:
        """Mine the test images with every box checked, and compare every score with the truth."""
        settings = self.settings
        mining = LabeledMining.trained(settings, progress)
        samples = mining.samples(Split.TEST, self.images)
        mined = mining.mine(samples)
        boxes = mining.with_truth(mined, samples)
        _, all_evidence = out_of_fold(boxes.known_boxes(settings), cascade_plan(settings, mining.model_id))
        confidence, consistency = feature_matrix(boxes.evidence, ("score", "consistency")).T
        scores = {
            "confidence": confidence,
            "consistency": consistency,
            "product": confidence * consistency,
            "all evidence": all_evidence,
        }
        return VariantResult(
            **vars(self.identity),
            variant=self.variant,
            boxes=len(boxes.right),
            pastes=mined.cost.pastes,
            canvases=mined.cost.canvases,
            auroc={name: auroc(score, boxes.right) for name, score in scores.items()},
            gate={f"{gamma(number):.2f}": _through_gate(boxes, gamma(number)) for number in GATE_ROUNDS},
        )


def _through_gate(boxes: HeldBack, most: float) -> GatedBoxes:
    two_likeliest = feature_matrix(boxes.evidence, ("score", "runner_up"))
    passed = (gate_loss(torch.from_numpy(two_likeliest)) <= most).numpy() & (two_likeliest[:, 0] >= PROPOSAL_SCORE)
    return GatedBoxes(int(np.sum(passed)), int(np.sum(boxes.right[passed])))
