"""Fine-tuning from the champion, evaluation and the gate."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from pipeline.dataset.store import SampleStore
from pipeline.detector.evaluation.gate import compare, verdict
from pipeline.detector.evaluation.labeled_detections import LabeledDetections, judge
from pipeline.detector.evaluation.metrics import Metrics, measure
from pipeline.detector.inference.predictor import Predictor
from pipeline.detector.models.detector import Detector, build_detector
from pipeline.detector.models.registry import (
    ModelCard,
    champion_id,
    load_card,
    load_model,
    promote,
    record_metrics,
    save_model,
)
from pipeline.detector.training.data.batches import BatchPlan, TrainingImages
from pipeline.detector.training.loop import CHECKPOINT, TrainingResult, fine_tune
from pipeline.errors import ArtefactError, DataError
from pipeline.records import Sample, Split, State
from pipeline.seeds import derive_seed
from pipeline.settings import Settings
from pipeline.stages.cycle import Cycle, Progress, silent
from pipeline.workspace import Folder, Workspace


def training_samples(store: SampleStore) -> list[Sample]:
    """Images to learn from: labelled training images and pseudo-labelled ones of the pool."""
    labeled = store.samples(states=[State.LABELED], splits=[Split.TRAIN])
    return labeled + store.samples(states=[State.PSEUDO])


def labeled_samples(store: SampleStore, split: Split) -> list[Sample]:
    """Images of a split that people have labelled."""
    return store.samples(states=[State.LABELED], splits=[split])


def finetune(cycle: Cycle, progress: Progress = silent) -> dict[str, Any]:
    """Train a candidate from the champion, or from pretrained weights for the first; a killed run goes on.

    Args:
        cycle: The cycle.
        progress: Told after every step.

    Returns:
        `training.json`: the candidate's id and what the run was like.

    Raises:
        DataError: No image to learn from.
    """
    made = cycle.once("training", lambda: _train(cycle, progress))
    cycle.folder.remove(CHECKPOINT)
    return made


def _train(cycle: Cycle, progress: Progress) -> dict[str, Any]:
    settings, models = cycle.settings, cycle.workspace.models
    parent, version = champion_id(models), cycle.store.version()
    samples = training_samples(cycle.store)
    if not samples:
        raise DataError(f"Expected labelled training images in {cycle.store.uri}, found none. Import some first.")
    seed = cycle_seed(settings, cycle.number)
    detector = _starting_point(settings, parent, cycle, seed)
    run = fit(
        detector,
        samples,
        labeled_samples(cycle.store, Split.VAL),
        settings,
        seed=seed,
        checkpoints=cycle.folder,
        identity=f"{settings.digest()} {seed} {version} {parent}",
        progress=progress,
    )
    card = ModelCard(
        settings.data.labels, settings.detector, settings.training, version, parent, cycle.number, settings.seed
    )
    model_id = save_model(models, detector, card)
    return {"candidate": model_id, "parent": parent, "dataset_version": version, **run}


def fit(
    detector: Detector,
    samples: list[Sample],
    held_back: list[Sample],
    settings: Settings,
    *,
    seed: int,
    checkpoints: Folder,
    identity: str,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a detector in place; a killed run goes on.

    Args:
        detector: Changed in place.
        samples: Labelled and pseudo-labelled images to learn from.
        held_back: Labelled images, for early stop.
        settings: The project.
        seed: Of this run.
        checkpoints: Where its checkpoint lies.
        identity: What the run is made of.
        progress: Told after every step.

    Returns:
        What the run was like.
    """
    images = TrainingImages(
        samples,
        settings.data.labels,
        settings.detector.image_size_px,
        settings.data.max_image_pixels,
        settings.training.cache_mb,
    )
    plan = BatchPlan(images, settings.training, seed)
    result = fine_tune(
        detector,
        plan,
        settings.training,
        seed=seed,
        checkpoints=checkpoints,
        identity=identity,
        evaluate=partial(_map_on, settings, held_back),
        progress=lambda done, total, _line: progress("fine-tuning", done, total),
    )
    return _describe(result, settings, plan)


def cycle_seed(settings: Settings, number: int) -> int:
    """What drives the training run of a cycle."""
    return derive_seed(settings.seed, "cycle", number) % 2**31


def _starting_point(settings: Settings, parent: str | None, cycle: Cycle, seed: int) -> Detector:
    if parent is None:
        return build_detector(settings.detector, settings.data.labels, settings.training, seed)
    card = load_card(cycle.workspace.models, parent)
    if card.labels != settings.data.labels or card.detector != settings.detector:
        # Other classes or another network: nothing of the champion fits.
        return build_detector(settings.detector, settings.data.labels, settings.training, seed)
    return load_model(cycle.workspace.models, parent, settings.training)


def _describe(result: TrainingResult, settings: Settings, plan: BatchPlan) -> dict[str, Any]:
    labels = plan.pseudo_labels
    pseudo = sum(sample.state is State.PSEUDO for sample in labels.samples)
    return {
        "steps": result.steps,
        "train_seconds": round(result.seconds, 3),
        "images_per_s": round(result.images_per_s, 3),
        "curve": result.curve,
        "stopped_early": result.stopped_early,
        "rollbacks": result.rollbacks,
        "precision": result.precision,
        "labeled_images": len(labels.samples) - pseudo,
        "pseudo_images": pseudo,
        "pseudo_boxes": labels.kept,
        "pseudo_boxes_beyond_bounds": labels.dropped,
        "faults": result.faults,
        "settings": settings.training.model_dump(mode="json"),
    }


def _map_on(settings: Settings, samples: list[Sample], detector: Detector) -> float:
    return measured(settings, detector, samples).map


def judged(settings: Settings, detector: Detector, samples: list[Sample]) -> LabeledDetections:
    """What a detector finds in labelled images, beside the truth."""
    predictor = Predictor(detector, "fp32", settings.training.accelerator, settings.mining.batch_size)
    return judge(predictor, samples, max_pixels=settings.data.max_image_pixels, threads=settings.mining.decode_threads)


def measured(settings: Settings, detector: Detector, samples: list[Sample]) -> Metrics:
    """How good a detector is on labelled images."""
    return measure(judged(settings, detector, samples), settings.seed)


def evaluate_model(settings: Settings, model_id: str | None, split: str) -> Metrics:
    """Measure a model on a labelled split.

    Args:
        settings: The project.
        model_id: Which; the champion for None.
        split: `val` or `test`.

    Returns:
        What was measured.

    Raises:
        ArtefactError: There is no such model.
        ValueError: Another split.
    """
    if split not in {Split.VAL, Split.TEST}:
        raise ValueError(f"Expected split val or test, got {split!r}")
    workspace = Workspace(settings.workspace)
    model_id = model_id or champion_id(workspace.models)
    if model_id is None:
        raise ArtefactError("Expected a champion to evaluate, found none. Run `crosscheck finetune` first.")
    samples = labeled_samples(SampleStore(workspace.samples_uri), Split(split))
    return measured(settings, load_model(workspace.models, model_id), samples)


def gate(cycle: Cycle) -> dict[str, Any]:
    """Evaluate the candidate and make it champion unless it is worse on val.

    Returns:
        `metrics.json`: what was measured on val and test, the verdict, and which classes are forgotten; see
        `detector.gate` for the rule.
    """
    made = cycle.once("metrics", lambda: _judge(cycle))
    if made["promoted"]:
        promote(cycle.workspace.models, made["candidate"])
    return made


def _judge(cycle: Cycle) -> dict[str, Any]:
    settings, models = cycle.settings, cycle.workspace.models
    training = cycle.artefact("training")
    candidate, champion = training["candidate"], training["parent"]
    detector = load_model(models, candidate)
    held_back = labeled_samples(cycle.store, Split.VAL)
    on_val = judged(settings, detector, held_back)
    before = judged(settings, load_model(models, champion), held_back) if champion else None
    comparison = compare(on_val, before, settings.seed) if before else None
    promoted, why = verdict(comparison, settings.training.gate_tolerance)
    val = measure(on_val, settings.seed)
    test = measured(settings, detector, labeled_samples(cycle.store, Split.TEST))
    record_metrics(models, candidate, {"val": asdict(val), "test": asdict(test)})
    return {
        "candidate": candidate,
        "champion": champion,
        "promoted": promoted,
        "why": why,
        "gap": list(comparison.interval) if comparison and comparison.interval else None,
        "forgotten": [asdict(one) for one in comparison.forgotten] if comparison else [],
        "val": asdict(val),
        "test": asdict(test),
        "champion_val": asdict(measure(before, settings.seed)) if before else None,
    }
