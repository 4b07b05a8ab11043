"""Fine-tuning a candidate from the champion."""

from __future__ import annotations

from pipeline.artefacts import TrainingRun
from pipeline.cycle import Cycle
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.detector import Detector, build_detector
from pipeline.detector.models.registry import ModelCard, load_card
from pipeline.detector.models.saved import load_model, save_model
from pipeline.detector.training.checkpoint import CHECKPOINT
from pipeline.detector.training.fit import TrainingJob, fit
from pipeline.errors import DataError
from pipeline.progress import Progress, silent
from pipeline.records import Split
from pipeline.seeds import cycle_seed


def finetune(cycle: Cycle, progress: Progress = silent) -> TrainingRun:
    """Train a candidate from the champion, or from pretrained weights for the first; a killed run goes on.

    Args:
        cycle: The cycle.
        progress: Called after every step.

    Raises:
        DataError: No image to learn from.
    """
    made = cycle.once(TrainingRun, lambda: _train(cycle, progress))
    cycle.folder.remove(CHECKPOINT)
    return made


def _train(cycle: Cycle, progress: Progress) -> TrainingRun:
    settings, models = cycle.settings, cycle.workspace.models
    parent, version = champion_of(cycle.workspace), cycle.store.version()
    samples = cycle.store.training()
    if not samples:
        raise DataError(
            f"Expected labelled training images in {cycle.store.uri}, found none. Import some, or set labeling.backend "
            "and run `crosscheck cycle`, which asks people for the first ones."
        )
    seed = cycle_seed(settings.seed, cycle.number)
    detector = _starting_point(cycle, parent, seed)
    job = TrainingJob(
        settings,
        samples,
        cycle.store.labeled(Split.VAL),
        seed,
        cycle.folder,
        identity=f"{settings.digest()} {seed} {version} {parent}",
    )
    run = fit(detector, job, progress)
    card = ModelCard(
        settings.data.labels, settings.detector, settings.training, version, parent, cycle.number, settings.seed
    )
    return TrainingRun(candidate=save_model(models, detector, card), parent=parent, dataset_version=version, run=run)


def _starting_point(cycle: Cycle, parent: str | None, seed: int) -> Detector:
    settings, models = cycle.settings, cycle.workspace.models
    if parent is not None:
        card = load_card(models, parent)
        if card.labels == settings.data.labels and card.detector == settings.detector:
            return load_model(models, parent, settings.training)
    # The first model; or other classes or another network, so that nothing of the champion fits.
    return build_detector(settings.detector, settings.data.labels, settings.training, seed)
