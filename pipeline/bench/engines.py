"""`crosscheck bench engines`: what float32, int8 and both find, and how fast, on processors."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from torchvision.ops import box_iou

from pipeline.bench.scenario import ScenarioCell, ScenarioResult, train
from pipeline.cycle import Cycle
from pipeline.detector.evaluation.metrics import map_on
from pipeline.detector.inference.engine import predictor_with_engine
from pipeline.detector.inference.predictor import Detections, PredictionSettings, Predictor
from pipeline.detector.inference.two_precision import TwoPrecision, labelled_doubts
from pipeline.detector.models.champion import require_champion
from pipeline.detector.models.saved import load_model
from pipeline.errors import ArtefactError
from pipeline.progress import Progress
from pipeline.records import Split
from pipeline.settings.mining import Engine

SHARES = (0.1, 0.25, 0.5)
"""Of the labelled images, those above the threshold on doubt."""
ROUNDS, SAME_IOU = 3, 0.5


@dataclass(frozen=True)
class EngineLevel:
    """One engine on the test split.

    Attributes:
        engine: torch (in float32), onnx, onnx_int8 or onnx_two_precision.
        share: Of two precisions, `mining.float32_share`.
        twice: Share of the test images that were looked at twice.
        map: Mean average precision.
        differing: Share of the proposals of this engine and of `onnx` that the other does not have.
        images_per_second: Of processor time, without reading images, in the fastest of some rounds.
    """

    engine: Engine
    share: float | None
    twice: float
    map: float
    differing: float
    images_per_second: float


@dataclass(frozen=True)
class EnginesResult(ScenarioResult):
    """The engines on one trained detector, torch first, and how many test images they saw."""

    images: int
    engines: tuple[EngineLevel, ...]


@dataclass(frozen=True)
class EnginesCell(ScenarioCell):
    """One trained detector."""

    def measure(self, progress: Progress) -> EnginesResult:
        """Train, export, and look at the test split with every engine.

        Raises:
            ArtefactError: The detector cannot be exported, or ONNX is not installed.
        """
        cycle = train(self.settings, progress)
        forms = _forms(cycle)
        test = cycle.store.labeled(Split.TEST)
        batches = list(forms["torch", None].inputs(sample.ref for sample in test))
        speed = images_per_second(forms, batches)
        answers = {form: [found for images in batches for found in forms[form](images)] for form in forms}
        int8, float32 = answers["onnx_int8", None], answers["onnx", None]
        levels = []
        for (engine, share), predictor in forms.items():
            twice = sum(map(predictor.is_doubtful, int8)) if isinstance(predictor, TwoPrecision) else 0
            apart = differing(float32, answers[engine, share], cycle.settings.mining.proposal_score)
            level = map_on(predictor, test) or 0.0
            levels.append(EngineLevel(engine, share, twice / len(test), level, apart, speed[engine, share]))
            progress("engines", len(levels), len(forms))
        identity = self.identity
        return EnginesResult(identity.set, identity.labelled, identity.seed, len(test), tuple(levels))


Form = tuple[Engine, float | None]
"""An engine, and of two precisions the share of float32."""


def _forms(cycle: Cycle) -> dict[Form, Predictor]:
    models, labelled = cycle.workspace.models, [sample.ref for sample in cycle.store.labeled(Split.TRAIN)]
    champion = require_champion(cycle.workspace, "to measure")
    kept, settings = models.folder(champion), replace(PredictionSettings.of(cycle.settings, "fp32"), accelerator="cpu")
    both = predictor_with_engine(load_model(models, champion), settings, "onnx_two_precision", kept, labelled)
    if not isinstance(both, TwoPrecision):
        raise ArtefactError(f"Expected model {champion} in two precisions, it could not be exported: the log says why.")
    doubts = labelled_doubts(both.int8, kept, labelled)
    return {
        ("torch", None): Predictor(load_model(models, champion), settings),
        ("onnx", None): both.float32,
        ("onnx_int8", None): both.int8,
        **{
            ("onnx_two_precision", share): TwoPrecision(both.int8, both.float32, doubts.threshold(share))
            for share in SHARES
        },
    }


def images_per_second(forms: Mapping[Form, Predictor], batches: Sequence[Tensor]) -> dict[Form, float]:
    """Time forms in turn, by processor time, which other work on the machine disturbs least.

    Args:
        forms: What is timed.
        batches: Tensor[B, 3, H, W] uint8 each.

    Returns:
        The fastest of some rounds, of each form.
    """
    fastest = dict.fromkeys(forms, float("inf"))
    for _ in range(ROUNDS):
        for form, predictor in forms.items():
            began = time.process_time()
            for images in batches:
                predictor(images)
            fastest[form] = min(fastest[form], time.process_time() - began)
    count = sum(map(len, batches))
    return {form: count / max(seconds, 1e-9) for form, seconds in fastest.items()}


def differing(expected: Sequence[Detections], found: Sequence[Detections], score: float) -> float:
    """Tell which share of the proposals of two answers only one of them has.

    Args:
        expected: Of each image.
        found: Likewise.
        score: Detections below are no proposals.

    Returns:
        0 to 1; a proposal is in the other answer if one of its class overlaps it by an IoU of 0.5. 0 without any.
    """
    alone, count = 0, 0
    for one, other in zip(expected, found, strict=True):
        first, second = one[one.scores >= score], other[other.scores >= score]
        same = (box_iou(first.boxes, second.boxes) >= SAME_IOU) & (first.labels[:, None] == second.labels)
        alone += int((~same.any(1)).sum() + (~same.any(0)).sum())
        count += len(first) + len(second)
    return alone / count if count else 0.0
