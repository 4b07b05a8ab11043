"""Fine-tuning: a loop over steps that can be killed at any of them and goes on from its last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from pipeline.detector.inference.precision import native_precision
from pipeline.detector.models.detector import Detector
from pipeline.detector.training.checkpoint import CHECKPOINT, read_checkpoint
from pipeline.detector.training.data.batches import Batch, BatchPlan, batches
from pipeline.detector.training.processes import Progress, launch
from pipeline.detector.training.result import TrainingResult
from pipeline.detector.training.run import Run
from pipeline.settings import TrainingSettings
from pipeline.workspace import Folder

__all__ = ["CHECKPOINT", "Progress", "TrainingResult", "fine_tune"]

Evaluate = Callable[[Detector], float]


def fine_tune(
    detector: Detector,
    plan: BatchPlan,
    settings: TrainingSettings,
    *,
    seed: int,
    checkpoints: Folder,
    identity: str,
    evaluate: Evaluate | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a detector in place; a checkpoint of the same run is continued, with the same outcome.

    Args:
        detector: Changed in place; ends with the averaged weights, with early stop with the best that were evaluated.
        plan: The batches.
        settings: The run.
        seed: The settings' seed.
        checkpoints: Where checkpoints go.
        identity: What the run is made of; a checkpoint with another identity is not continued.
        evaluate: Gives validation AP, for early stop; with several processes it must be a function of a module.
        progress: Told after every step.

    Returns:
        What the run was like.

    Raises:
        PipelineError: Losses or gradients are not finite, or the loss leaps, more often than may be taken back.
    """
    settings = _with_precision(settings, read_checkpoint(checkpoints, identity))
    result, weights = launch(_work, settings, progress, detector, plan, settings, seed, checkpoints, identity, evaluate)
    detector.load_state_dict(weights)
    detector.eval()
    return result


def _with_precision(settings: TrainingSettings, checkpoint: dict[str, Any] | None) -> TrainingSettings:
    """The settings with the device's precision, or that of the run that is continued where there is one."""
    if settings.precision != "auto":
        return settings
    precision = checkpoint["result"]["precision"] if checkpoint else native_precision(settings.accelerator)
    return settings.model_copy(update={"precision": precision})


def _work(
    fabric: Fabric,
    progress: Progress | None,
    detector: Detector,
    plan: BatchPlan,
    settings: TrainingSettings,
    seed: int,
    checkpoints: Folder,
    identity: str,
    evaluate: Evaluate | None,
) -> tuple[TrainingResult, dict[str, Tensor]]:
    """The whole run, or one process's share of it."""
    run = Run(detector, settings, seed, identity, fabric)
    run.restore(checkpoints)
    plan = plan.of_rank(fabric.global_rank, fabric.world_size)
    began, before = time.monotonic(), run.result.seconds
    while not run.is_over():
        # Begun anew where a step was taken back.
        parts = batches(plan, run.result.steps * settings.accumulate, settings.workers)
        for batch in _grouped(parts, settings.accumulate):
            run.step(batch)
            run.result.seconds = before + time.monotonic() - began
            if run.is_due() and not run.look_back():
                break
            done = run.result.steps
            if progress:
                progress(done, settings.steps, "" if run.last_loss is None else f"loss {run.last_loss:.3f}")
            if evaluate and run.early_stop.is_due(done) and run.should_stop(evaluate):
                break
            if done % settings.checkpoint_every_steps == 0 and done < settings.steps:
                run.save(checkpoints)
    return run.result, run.weights()


def _grouped(parts: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    while group := list(islice(parts, size)):
        yield group
