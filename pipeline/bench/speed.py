"""`crosscheck bench speed`: our training loop beside torchvision's reference loop, in turn, in one run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning_fabric import Fabric

from pipeline.bench.measures import Stopwatch
from pipeline.bench.reference_loop import reference_steps
from pipeline.bench.scenario import EVERY_IMAGE, OPENED_AT, Scenario, alone
from pipeline.dataset.store import SampleStore
from pipeline.detector.inference.precision import native_precision
from pipeline.detector.models.detector import build_detector
from pipeline.detector.training.data.batches import BatchPlan, batches
from pipeline.detector.training.data.training_images import TrainingImages
from pipeline.detector.training.memory import keep_freed_memory
from pipeline.detector.training.processes import FABRIC_PRECISION
from pipeline.detector.training.run import Run, RunSpec
from pipeline.progress import Progress, silent
from pipeline.records import Sample, Split
from pipeline.settings import Settings, TrainingSettings
from pipeline.stages.importing import import_sources
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Turns:
    """How two loops are timed: rounds, in which each has its turn, and training steps per turn."""

    rounds: int
    steps: int


@dataclass(frozen=True)
class SpeedRound:
    """One turn of each loop, in images per second."""

    ours: float
    reference: float

    @property
    def ratio(self) -> float:
        """Ours over the reference, higher = faster."""
        return self.ours / self.reference


@dataclass(frozen=True)
class OwnTime:
    """Where our loop's time goes, in seconds: waiting for batches, and training steps."""

    batches: float
    steps: float


@dataclass(frozen=True)
class SpeedResult:
    """Our loop beside the reference.

    Attributes:
        set: Name of the set.
        batch: Images per training step.
        image_size_px: Longest side of the input.
        threads: Of torch.
        workers: Processes that prepare batches.
        turns: How the loops were timed.
        ours: Median images per second.
        reference: The same of the reference.
        ratio: Median of the ratios of each round.
        ratio_range: Least and largest of them.
        own_time: Over all rounds.
        rounds: In order.
    """

    set: str
    batch: int
    image_size_px: int
    threads: int
    workers: int
    turns: Turns
    ours: float
    reference: float
    ratio: float
    ratio_range: tuple[float, float]
    own_time: OwnTime
    rounds: tuple[SpeedRound, ...]


def bench_speed(scenario: Scenario, turns: Turns, progress: Progress = silent) -> SpeedResult:
    """Train with both loops in turn and compare images per second.

    Both have the same backbone and pyramid, images, batch size, threads and workers. Ours does what the settings say:
    augmentation, mixup, smaller batches, a lighter head, the triplet loss, averaged weights.

    Args:
        scenario: A simulated project; all of its labels are learnt from.
        turns: How the loops are timed.
        progress: Called after every round.

    Raises:
        SettingsError: The reference has no such detector.
        Taken: Another process works in the scenario's workspace.
    """
    settings = replace(scenario, labelled=EVERY_IMAGE).settings()
    with alone(settings):
        import_sources(settings, OPENED_AT)
    samples, watch = SampleStore(Workspace(settings.workspace).samples_uri).labeled(Split.TRAIN), Stopwatch()
    ours, reference = _own_steps(settings, samples, watch), reference_steps(settings, samples, settings.seed)
    for loop in (ours, reference):
        next(loop)  # builds the network, which is not timed
    watch.reset()
    rounds = []
    for number in range(turns.rounds):
        rounds.append(_round(ours, reference, turns.steps, ours_first=number % 2 == 0))
        progress("rounds", number + 1, turns.rounds)
    ratios = [timing.ratio for timing in rounds]
    return SpeedResult(
        set=settings.name,
        batch=settings.training.batch_size,
        image_size_px=settings.detector.image_size_px,
        threads=torch.get_num_threads(),
        workers=settings.training.workers,
        turns=turns,
        ours=float(np.median([timing.ours for timing in rounds])),
        reference=float(np.median([timing.reference for timing in rounds])),
        ratio=float(np.median(ratios)),
        ratio_range=(min(ratios), max(ratios)),
        own_time=OwnTime(watch.total("batches"), watch.total("steps")),
        rounds=tuple(rounds),
    )


def _own_steps(settings: Settings, samples: Sequence[Sample], watch: Stopwatch) -> Iterator[int]:
    """Train as `fine_tune` does, one step at a time.

    Yields:
        Images shown, after every step.
    """
    training, labels = _endless(settings), settings.data.labels
    size, max_pixels = settings.detector.image_size_px, settings.data.max_image_pixels
    images = TrainingImages(samples, labels, size, max_pixels, training.cache_mb)
    detector = build_detector(settings.detector, labels, training, settings.seed)
    keep_freed_memory()  # as `fine_tune` does
    fabric = Fabric(devices=1, accelerator=training.accelerator, precision=FABRIC_PRECISION[training.precision])
    run = Run(detector, RunSpec(training, settings.seed, Workspace(settings.workspace), "speed"), fabric)
    source = batches(BatchPlan(images, training, settings.seed), 0, training.workers)
    while True:
        with watch.time("batches"):
            batch = next(source)
        with watch.time("steps"):
            run.step([batch])
            if run.is_due():
                run.look_back()
        yield len(batch.images)


def _endless(settings: Settings) -> TrainingSettings:
    """Settings of a run that is ended from outside, in the precision that the device has units for."""
    training = settings.training
    precision = native_precision(training.accelerator) if training.precision == "auto" else training.precision
    # The run never leaves its first steps, where mixup would still be off.
    mixup = training.mixup.model_copy(update={"start": 0.0})
    return training.model_copy(update={"steps": 1_000_000, "accumulate": 1, "precision": precision, "mixup": mixup})


def _round(ours: Iterator[int], reference: Iterator[int], steps: int, *, ours_first: bool) -> SpeedRound:
    """One turn of each; they take turns in beginning, so that neither always profits from what ran before it."""
    if ours_first:
        return SpeedRound(ours=_turn(ours, steps), reference=_turn(reference, steps))
    return SpeedRound(reference=_turn(reference, steps), ours=_turn(ours, steps))


def _turn(loop: Iterator[int], steps: int) -> float:
    """Images per second over some steps."""
    began = time.perf_counter()
    images = sum(next(loop) for _ in range(steps))
    return images / (time.perf_counter() - began)
