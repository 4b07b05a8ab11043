"""From samples to a trained detector, and how good it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pipeline.artefacts import EndOfRun, TrainingSummary
from pipeline.dataset.object_masks import read_masks
from pipeline.dataset.visible_boxes import read_visible_boxes
from pipeline.detector.evaluation.metrics import map_on
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.models.detector import Detector
from pipeline.detector.models.unused_settings import unused_settings
from pipeline.detector.training.data.batches import BatchPlan
from pipeline.detector.training.data.training_images import BesideBoxes, TrainingImages
from pipeline.detector.training.loop import fine_tune
from pipeline.detector.training.result import TrainingResult
from pipeline.detector.training.run import RunSpec
from pipeline.folder import Folder
from pipeline.progress import Progress, silent
from pipeline.records import Sample, State
from pipeline.seeds import draw
from pipeline.settings import Settings, TrainingSettings

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """What a detector learns from, and where the run is kept.

    Attributes:
        settings: The project.
        samples: Labelled and pseudo-labelled images to learn from.
        held_back: Labelled images that tell how long the run is.
        seed: Of this run.
        checkpoints: Where its checkpoint lies.
        identity: What the run is made of; a checkpoint with another identity is not continued.
        steps: How long the run is where a committee has found that out; None: held-back images tell.
        errors: How wrong the model that it starts from is about images, 0 to 1 by their id, see `training.boosting`.
    """

    settings: Settings
    samples: Sequence[Sample]
    held_back: Sequence[Sample]
    seed: int
    checkpoints: Folder
    identity: str
    steps: int | None = None
    errors: Mapping[str, float] = field(default_factory=dict)


def fit(detector: Detector, job: TrainingJob, progress: Progress = silent) -> TrainingSummary:
    """Train a detector in place; a killed run goes on. Settings that its network has no use for are logged.

    Args:
        detector: Changed in place.
        job: What it learns from.
        progress: Called after every step.

    Returns:
        What the run was like.
    """
    settings = job.settings
    for unused in unused_settings(settings.detector, settings.training):
        LOG.warning(unused)
    images = TrainingImages(
        job.samples,
        settings.data.labels,
        settings.detector.image_size_px,
        settings.data.max_image_pixels,
        settings.training.cache_mb,
        _beside_boxes(settings),
    )
    seen = [] if job.steps else _looked_at(job)
    training = _of_known_length(settings.training, job.steps) if job.steps else _of_unknown_length(settings, seen)
    plan = BatchPlan(images, training, job.seed, job.errors)
    spec = RunSpec(training, job.seed, job.checkpoints, job.identity)
    result = fine_tune(detector, plan, spec, partial(_map_on, settings, seen) if seen else None, progress)
    return _summary(result, job, plan)


def labeled_predictor(settings: Settings, detector: Detector) -> Predictor:
    """A detector as it is measured: in full precision."""
    return Predictor(detector, PredictionSettings.of(settings, "fp32"))


def _beside_boxes(settings: Settings) -> BesideBoxes:
    visible = read_visible_boxes(settings.data.sources) if settings.detector.visible_box else None
    masks = read_masks(settings.data.sources) if settings.detector.masks else None
    if visible and not visible.by_uri:
        LOG.warning("detector.visible_box has nothing to learn: no COCO file of a train source has visible boxes")
    if masks and not masks.by_uri:
        LOG.warning("detector.masks has nothing to learn: no COCO file of a train source has masks")
    return BesideBoxes(visible, masks)


def _looked_at(job: TrainingJob) -> list[Sample]:
    """The held-back images that are looked at during the run; none where they hold no object."""
    seen = draw(job.held_back, job.settings.training.plateau.max_images, job.seed, "looks")
    return seen if any(sample.boxes for sample in seen) else []


def _of_known_length(training: TrainingSettings, steps: int) -> TrainingSettings:
    plateau = training.plateau.model_copy(update={"enabled": False})
    return training.model_copy(update={"steps": min(steps, training.steps), "plateau": plateau})


def _of_unknown_length(settings: Settings, seen: Sequence[Sample]) -> TrainingSettings:
    training = settings.training
    return training if seen or not training.plateau.enabled else _without_looks(training)


def _without_looks(training: TrainingSettings) -> TrainingSettings:
    steps = min(training.steps, training.plateau.fallback_steps)
    LOG.warning(
        f"Expected held-back images with objects, to see when training has nothing more to teach; found none. It has "
        f"{steps} steps; set selection.committee, import images of split val, or set training.plateau.fallback_steps."
    )
    return training.model_copy(update={"steps": steps})


def _ended_by(result: TrainingResult, job: TrainingJob) -> EndOfRun:
    if job.steps is not None:
        return "committee"
    if result.plateau_step is not None:
        return "plateau"
    return "steps" if result.steps == job.settings.training.steps else "fallback_steps"


def _map_on(settings: Settings, samples: Sequence[Sample], detector: Detector) -> float:
    return map_on(labeled_predictor(settings, detector), samples) or 0.0


def _summary(result: TrainingResult, job: TrainingJob, plan: BatchPlan) -> TrainingSummary:
    labels = plan.pseudo_labels
    pseudo = sum(sample.state is State.PSEUDO for sample in labels.samples)
    return TrainingSummary(
        steps=result.steps,
        train_seconds=round(result.seconds, 3),
        images_per_s=round(result.images_per_s, 3),
        precision=result.precision,
        curve=tuple(result.curve),
        ended_by=_ended_by(result, job),
        plateau_step=result.plateau_step,
        looks=tuple(result.looks),
        rollbacks=tuple(result.rollbacks),
        labeled_images=len(labels.samples) - pseudo,
        pseudo_images=pseudo,
        pseudo_boxes=labels.kept,
        pseudo_boxes_beyond_bounds=labels.dropped,
        faults=tuple(result.faults),
        settings=job.settings.training.model_dump(mode="json"),
    )
