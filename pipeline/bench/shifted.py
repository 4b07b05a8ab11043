"""`crosscheck bench shifted`: whether statistics estimated anew on a pool of another domain help there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.bench.scenario import ScenarioCell, ScenarioResult, train
from pipeline.detector.evaluation.metrics import map_on
from pipeline.detector.inference.predictor import Detections, PredictionSettings, Predictor
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.saved import load_model
from pipeline.detector.models.statistics import reestimate
from pipeline.progress import Progress
from pipeline.records import Split

CONTRAST, CAST = 0.5, (60.0, 25.0, 0.0)
"""Another camera: half of the contrast, and a warm light."""
IMAGES = 64
"""Of either domain, that statistics are estimated on."""


@dataclass(frozen=True)
class ShiftedResult(ScenarioResult):
    """mAP on the test split.

    Attributes:
        clean: As the images are.
        shifted: Seen by another camera.
        adapted: Likewise, after statistics were estimated on shifted images of the pool.
    """

    clean: float
    shifted: float
    adapted: float


class ShiftedPredictor(Predictor):
    """Sees images as another camera would have taken them."""

    def __call__(self, images: Tensor) -> list[Detections]:
        """Detect; as `Predictor`."""
        return super().__call__(shift(images))


def shift(images: Tensor) -> Tensor:
    """What another camera makes of Tensor[B, 3, H, W] uint8."""
    return (images.float() * CONTRAST + torch.tensor(CAST)[:, None, None]).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class ShiftedCell(ScenarioCell):
    """One trained detector."""

    def measure(self, progress: Progress) -> ShiftedResult:
        """Train, evaluate, adapt, evaluate again."""
        cycle = train(self.settings, progress)
        champion = require_champion(cycle.workspace, "to measure")
        detector = load_model(cycle.workspace.models, champion)
        settings = PredictionSettings.of(cycle.settings, "fp32")
        test = cycle.store.labeled(Split.TEST)
        clean, shifted = Predictor(detector, settings), ShiftedPredictor(detector, settings)
        maps = [map_on(clean, test) or 0.0, map_on(shifted, test) or 0.0]
        labelled = cycle.store.labeled(Split.TRAIN)[:IMAGES]
        pool = cycle.store.samples(splits=[Split.POOL])[:IMAGES]
        seen = [clean.inputs(sample.ref for sample in samples) for samples in (labelled, pool)]
        reestimate(detector, seen[0], map(shift, seen[1]))
        identity, adapted = self.identity, map_on(shifted, test) or 0.0
        return ShiftedResult(identity.set, identity.labelled, identity.seed, maps[0], maps[1], adapted)
