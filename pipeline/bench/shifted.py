"""`crosscheck bench shifted`: whether statistics estimated anew on a pool of another domain help there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.bench.scenario import ScenarioCell, ScenarioResult, train
from pipeline.detector.evaluation.labeled_detections import detect_labeled
from pipeline.detector.evaluation.metrics import measure
from pipeline.detector.inference.predictor import Detections, PredictionSettings, Predictor
from pipeline.detector.models.registry import champion_id
from pipeline.detector.models.saved import load_model
from pipeline.detector.models.statistics import reestimate
from pipeline.errors import ArtefactError
from pipeline.progress import Progress
from pipeline.records import Sample, Split

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
        champion = champion_id(cycle.workspace.models)
        if champion is None:
            raise ArtefactError(f"Expected a champion in {cycle.workspace.models.uri}, found none.")
        detector = load_model(cycle.workspace.models, champion)
        settings = PredictionSettings.of(cycle.settings, "fp32")
        test, seed = cycle.store.labeled(Split.TEST), cycle.settings.seed
        clean, shifted = Predictor(detector, settings), ShiftedPredictor(detector, settings)
        maps = [_map(clean, test, seed), _map(shifted, test, seed)]
        labelled = cycle.store.labeled(Split.TRAIN)[:IMAGES]
        pool = cycle.store.samples(splits=[Split.POOL])[:IMAGES]
        reestimate(detector, _batches(clean, labelled), map(shift, _batches(clean, pool)))
        identity, adapted = self.identity, _map(shifted, test, seed)
        return ShiftedResult(identity.set, identity.labelled, identity.seed, maps[0], maps[1], adapted)


def _batches(predictor: Predictor, samples: Sequence[Sample]) -> Iterator[Tensor]:
    return (batch.images for batch in predictor.stream(sample.ref for sample in samples))


def _map(predictor: Predictor, samples: Sequence[Sample], seed: int) -> float:
    return measure(detect_labeled(predictor, samples), seed).map or 0.0
