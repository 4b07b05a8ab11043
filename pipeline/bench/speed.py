"""`crosscheck bench speed`: our training loop beside torchvision's reference loop, in turn, in one run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from pipeline.bench.reference_loop import reference_steps
from pipeline.bench.trained_cell import OPENED_AT, cell_settings
from pipeline.bench.training import EVERYTHING
from pipeline.dataset.store import SampleStore
from pipeline.detector.models.detector import build_detector
from pipeline.detector.training.data.batches import BatchPlan, TrainingImages, batches
from pipeline.detector.training.processes import FABRIC_PRECISION
from pipeline.detector.training.run import Run
from pipeline.records import Sample, Split
from pipeline.settings import Settings
from pipeline.stages.cycle import Progress, silent
from pipeline.stages.finetune import labeled_samples
from pipeline.stages.importing import import_sources


@dataclass
class Clock:
    """Where our loop's time goes: seconds by part."""

    seconds: dict[str, float] = field(default_factory=lambda: {"batches": 0.0, "steps": 0.0})

    def add(self, part: str, began: float) -> None:
        """Add the time since a moment."""
        self.seconds[part] += time.perf_counter() - began


def bench_speed(
    config: Path,
    *,
    rounds: int,
    steps: int,
    seed: int = 0,
    overrides: Sequence[str] = (),
    root: str,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train with both loops in turn and compare images a second.

    Both have the same network, images, batch size, threads and workers. Ours does what the settings say beside:
    augmentation, mixup, the triplet loss, averaged weights.

    Args:
        config: A simulated project; all of its labels are learnt from.
        rounds: How often each loop has its turn.
        steps: Of each turn.
        seed: Of both.
        overrides: `section.key=value` texts, laid over the file.
        root: Folder of the benchmark's workspaces.
        progress: Told after every round.

    Returns:
        `rounds` with images a second of `ours` and `reference` and their `ratio`; the same over all rounds, with the
        range of the ratio; and where our time goes.
    """
    settings = cell_settings(config, EVERYTHING, seed, root, overrides)
    import_sources(settings, OPENED_AT)
    samples = labeled_samples(SampleStore(f"{settings.workspace}/samples"), Split.TRAIN)
    clock = Clock()
    loops = {"ours": _our_steps(settings, samples, seed, clock), "reference": reference_steps(settings, samples, seed)}
    for loop in loops.values():
        next(loop)  # what is done once is not part of it
    clock.seconds = dict.fromkeys(clock.seconds, 0.0)
    told: list[dict[str, float]] = []
    for done in range(1, rounds + 1):
        # Who begins changes, so that neither gains from what comes before it.
        names = list(loops) if done % 2 else list(loops)[::-1]
        speed = {name: _turn(loops[name], steps) for name in names}
        told.append({**speed, "ratio": speed["ours"] / speed["reference"]})
        progress("rounds", done, rounds)
    ratios = [one["ratio"] for one in told]
    return {
        "set": settings.name,
        "batch": settings.training.batch_size,
        "image_size_px": settings.detector.image_size_px,
        "threads": torch.get_num_threads(),
        "workers": settings.training.workers,
        "steps_a_round": steps,
        **{name: float(np.median([one[name] for one in told])) for name in loops},
        "ratio": float(np.median(ratios)),
        "ratio_range": [min(ratios), max(ratios)],
        "our_seconds": clock.seconds,
        "rounds": told,
    }


def _turn(loop: Iterator[int], steps: int) -> float:
    """Images a second over some steps."""
    began = time.perf_counter()
    images = sum(next(loop) for _ in range(steps))
    return images / (time.perf_counter() - began)


def _our_steps(settings: Settings, samples: list[Sample], seed: int, clock: Clock) -> Iterator[int]:
    """Our loop as `fine_tune` has it, a step at a time."""
    training = settings.training.model_copy(update={"steps": 1_000_000})
    images = TrainingImages(
        samples,
        settings.data.labels,
        settings.detector.image_size_px,
        settings.data.max_image_pixels,
        training.cache_mb,
    )
    detector = build_detector(settings.detector, settings.data.labels, training, seed)
    precision = FABRIC_PRECISION[training.precision]
    fabric = Fabric(devices=1, accelerator=training.accelerator, precision=precision)
    run = Run(detector, training, seed, "speed", fabric)
    shown = batches(BatchPlan(images, training, seed), 0, training.workers)
    while True:
        began = time.perf_counter()
        batch = next(shown)
        clock.add("batches", began)
        began = time.perf_counter()
        run.step([batch])
        if run.is_due():
            run.look_back()
        clock.add("steps", began)
        yield len(batch.images)
