"""The second half of an arm of `crosscheck bench training`: a trained scenario goes on with labels of the pool."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.artefacts import GateOutcome, Metrics, Opening, TrainingSummary
from pipeline.bench.scenario import alone
from pipeline.cycle import Cycle, open_cycle
from pipeline.cycle_settings import SETTINGS
from pipeline.detector.evaluation.gate import compare, verdict
from pipeline.detector.evaluation.labeled_detections import LabeledDetections, detect_labeled
from pipeline.detector.evaluation.metrics import measure
from pipeline.detector.models.detector import Detector
from pipeline.detector.models.saved import load_model
from pipeline.detector.training.fit import TrainingJob, fit, labeled_predictor
from pipeline.folder import Folder
from pipeline.progress import Progress
from pipeline.records import Sample, Split
from pipeline.seeds import cycle_seed
from pipeline.selection.boosting import errors_of_champion
from pipeline.settings import Settings

_OF_BASE = ("arms", "lock", Opening.FILE, SETTINGS)
"""What a branch does not take over."""


@dataclass(frozen=True)
class GateVerdict:
    """Whether the gate lets the arm's detector replace that of the first half, and why."""

    promoted: bool
    why: str


@dataclass(frozen=True)
class SecondHalf:
    """How an arm goes on.

    Attributes:
        base: The first half.
        settings: Of the arm.
        checkpoints: Where its checkpoint lies.
    """

    base: Cycle
    settings: Settings
    checkpoints: Folder

    def fit(self, pseudo: Sequence[Sample], progress: Progress) -> tuple[Detector, TrainingSummary]:
        """Train on from the detector of the first half, with its labels and pseudo-labels of the pool."""
        store, detector = self.base.store, self._first_half()
        samples, champion = [*store.labeled(Split.TRAIN), *pseudo], self.base.read(GateOutcome).candidate
        job = TrainingJob(
            self.settings,
            samples,
            store.labeled(Split.VAL),
            seed=cycle_seed(self.settings.seed, self.base.number + 1),
            checkpoints=self.checkpoints,
            identity=self.settings.digest(),
            errors=errors_of_champion(self.settings, self.base.workspace, champion, samples, progress),
        )
        return detector, fit(detector, job, progress)

    def on_test(self, detector: Detector) -> Metrics:
        """Measure a detector on the test split."""
        return measure(self._detect(detector, Split.TEST), self.settings.seed)

    def gate(self, detector: Detector) -> GateVerdict:
        """Compare a detector with that of the first half, on val."""
        after, before = (self._detect(model, Split.VAL) for model in (detector, self._first_half()))
        return GateVerdict(*verdict(compare(after, before, self.settings.seed), self.settings.training.gate_tolerance))

    def _first_half(self) -> Detector:
        candidate = self.base.read(GateOutcome).candidate
        return load_model(self.base.workspace.models, candidate, self.settings.training)

    def _detect(self, detector: Detector, split: Split) -> LabeledDetections:
        return detect_labeled(labeled_predictor(self.settings, detector), self.base.store.labeled(split))


def branch(base: Cycle, settings: Settings) -> Cycle:
    """A copy of a trained scenario in which the pool is labelled as the settings say.

    Ablations of training alone share it, and what was mined in it.
    """
    place = Path(settings.workspace)
    with alone(base.settings):
        if not place.exists():
            unfinished = place.with_name(f"{place.name}.tmp")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(base.workspace.uri, unfinished, ignore=shutil.ignore_patterns(*_OF_BASE))
            open_cycle(settings.model_copy(update={"workspace": str(unfinished)}), base.opened_at)
            unfinished.replace(place)
    return Cycle(settings, base.number, base.opened_at)
