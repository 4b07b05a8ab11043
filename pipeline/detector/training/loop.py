"""Fine-tuning: a loop over steps that can be killed at any of them and goes on from its last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

from lightning_fabric import Fabric
from torch import Tensor

from pipeline.detector.inference.out_of_memory import is_out_of_memory
from pipeline.detector.inference.precision import native_precision
from pipeline.detector.models.detector import Detector
from pipeline.detector.training.checkpoint import read_checkpoint
from pipeline.detector.training.data.batches import Batch, BatchPlan, batches
from pipeline.detector.training.memory import keep_freed_memory
from pipeline.detector.training.processes import launch
from pipeline.detector.training.result import TrainingResult
from pipeline.detector.training.run import Run, RunSpec
from pipeline.errors import PipelineError
from pipeline.progress import Progress, silent
from pipeline.settings import TrainingSettings

Evaluate = Callable[[Detector], float]


def fine_tune(
    detector: Detector,
    plan: BatchPlan,
    spec: RunSpec,
    evaluate: Evaluate | None = None,
    progress: Progress = silent,
) -> TrainingResult:
    """Train a detector in place; a checkpoint of the same run is continued, with the same outcome.

    Args:
        detector: Changed in place; ends with the averaged weights.
        plan: The batches.
        spec: The run.
        evaluate: Measures a detector on held-back images, higher = better, which finds how long the run is; with
            several processes it must be a function of a module. None: the run has all its steps.
        progress: Called after every step.

    Returns:
        What the run was like.

    Raises:
        PipelineError: Losses or gradients are not finite, or the loss leaps, more often than may be taken back; or
            memory does not suffice.
    """
    spec = spec._replace(settings=_with_precision(spec))
    try:
        result, weights = launch(_work, spec.settings, progress, detector, plan, spec, evaluate)
    except RuntimeError as fault:
        if not is_out_of_memory(fault):
            raise
        raise PipelineError(
            f"Memory does not suffice for a training step of {spec.settings.batch_size} images in "
            f"{spec.settings.accumulate} parts. Set training.accumulate higher, which may change in an unfinished "
            "cycle, and run again: it goes on from its last checkpoint."
        ) from fault
    detector.load_state_dict(weights)
    detector.eval()
    return result


def _with_precision(spec: RunSpec) -> TrainingSettings:
    """The settings with the device's precision, or that of the run that is continued where there is one."""
    settings = spec.settings
    if settings.precision != "auto":
        return settings
    checkpoint = read_checkpoint(spec.checkpoints, spec.identity)
    precision = checkpoint["result"]["precision"] if checkpoint else native_precision(settings.accelerator)
    return settings.model_copy(update={"precision": precision})


def _work(
    fabric: Fabric, progress: Progress, detector: Detector, plan: BatchPlan, spec: RunSpec, evaluate: Evaluate | None
) -> tuple[TrainingResult, dict[str, Tensor]]:
    """The whole run, or one process's share of it."""
    keep_freed_memory()
    settings, run = spec.settings, Run(detector, spec, fabric)
    run.restore()
    plan = plan.of_rank(fabric.global_rank, fabric.world_size)
    began, before = time.monotonic(), run.result.seconds
    while not run.is_over():
        # Begun anew where a step was taken back, and where the run has turned out to be shorter.
        parts = batches(plan.of_length(run.settings.steps), run.result.steps * settings.accumulate, settings.workers)
        for batch in _grouped(parts, settings.accumulate):
            run.step(batch)
            run.result.seconds = before + time.monotonic() - began
            if run.is_due() and not run.look_back():
                break
            done = run.result.steps
            progress("fine-tuning", done, run.settings.steps)
            if evaluate and run.is_look_due() and run.found_plateau(evaluate):
                break
            if done % settings.checkpoint_every_steps == 0 and done < run.settings.steps:
                run.save()
    return run.result, run.weights()


def _grouped(parts: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    while group := list(islice(parts, size)):
        yield group
