"""One process or several: the same work, each on its share of every batch (through Lightning Fabric)."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import Thread
from typing import Any, Literal, TypeVar

import torch.multiprocessing as mp
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import nn
from torch.multiprocessing.spawn import ProcessException
from torch.nn.parallel import DistributedDataParallel

from pipeline.detector.models.detector import Detector
from pipeline.detector.models.norms import synchronise_batch_norm
from pipeline.errors import PipelineError
from pipeline.progress import Progress, silent
from pipeline.settings import TrainingSettings

FABRIC_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}

Outcome = TypeVar("Outcome")


def launch(work: Callable[..., Outcome], settings: TrainingSettings, progress: Progress, *args: Any) -> Outcome:
    """Do a training's work in as many processes as are set.

    One process works in this one. Several are started here, unless torchrun has started them already; more than one
    machine needs torchrun.

    Args:
        work: Called with a `Fabric`, progress, and `args`. With several processes all of
            them travel to each, so `work` is a function of a module.
        settings: Devices, nodes, accelerator and precision.
        progress: Told in this process.
        args: Passed on.

    Returns:
        What the first process returns; under torchrun, what this one does.

    Raises:
        PipelineError: A process failed, or several machines are set and torchrun has not started this process.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it says on standard error which precision it has
    fabric_of = partial(Fabric, accelerator=settings.accelerator, precision=FABRIC_PRECISION[settings.precision])
    if settings.devices * settings.nodes == 1:
        return work(fabric_of(devices=1), progress, *args)
    by_torchrun = TorchElasticEnvironment.detect()
    if settings.nodes > 1 and not by_torchrun:
        raise PipelineError(
            f"training.nodes {settings.nodes} expects torchrun to start this on each machine; it did not"
        )
    strategy = "ddp" if by_torchrun else "ddp_spawn"
    fabric: Any = fabric_of(devices=settings.devices, num_nodes=settings.nodes, strategy=strategy)
    if by_torchrun:
        heard = progress if TorchElasticEnvironment().global_rank() == 0 else silent
        outcome: Outcome = fabric.launch(work, heard, *args)
        return outcome
    with _Line(progress) as line:
        try:
            fabric.launch(_report, line.ends, work, *args)
        except ProcessException as fault:
            line.raise_own_fault()
            raise PipelineError(f"A training process failed: {str(fault).strip().splitlines()[-1]}") from fault
    return line.outcome  # type: ignore[no-any-return]


def _report(fabric: Fabric, ends: tuple[Any, Any], work: Callable[..., Any], *args: Any) -> None:
    """Work in one of several processes; the first tells how it goes and what came of it."""
    speaker, hung_up = ends

    def report(*step: Any) -> None:
        if hung_up.is_set():
            raise PipelineError("Expected somebody to tell progress to, nobody listens any more")
        speaker.send(step)

    outcome = work(fabric, report if fabric.is_global_zero else silent, *args)
    if fabric.is_global_zero:
        # As bytes, since tensors would be shared with a process that is about to end.
        speaker.send(pickle.dumps(outcome))


class _Line:
    """A line from another process to this one, which hears progress and, in the end, the outcome.

    A pipe and no queue: it is over once every process that could speak has ended, however it ended, and a process that
    is killed while it speaks holds no lock that others wait for.

    Args:
        progress: Told; what it raises ends the work.
    """

    def __init__(self, progress: Progress) -> None:
        context = mp.get_context("spawn")
        self._listener, speaker = context.Pipe(duplex=False)
        self.ends: tuple[Any, Any] = (speaker, context.Event())
        self.outcome: Any = None
        self._progress = progress
        self._fault: BaseException | None = None
        self._thread = Thread(target=self._listen, daemon=True)

    def __enter__(self) -> _Line:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends[0].close()
        self._thread.join()
        self.raise_own_fault()

    def raise_own_fault(self) -> None:
        """Raise here what was raised while listening."""
        if self._fault:
            raise self._fault

    def _listen(self) -> None:
        with self._listener:
            while True:
                try:
                    message = self._listener.recv()
                except (EOFError, OSError):  # nobody is left who speaks, or was killed in the middle of a word
                    return
                self._hear(message)

    def _hear(self, message: Any) -> None:
        if isinstance(message, bytes):
            self.outcome = pickle.loads(message)  # noqa: S301 (from a process that was started here)
        elif not self._fault:
            try:
                self._progress(*message)
            except BaseException as fault:  # raised again where the work was asked for
                self._fault = fault
                self.ends[1].set()


def student_in_processes(detector: Detector, fabric: Fabric, settings: TrainingSettings) -> nn.Module:
    """The detector, its gradients averaged over all processes where there are several.

    Raises:
        PipelineError: It has batch normalisation to synchronise, which CPUs cannot.
    """
    if fabric.world_size == 1:
        return detector
    synchronise_batch_norm(detector, fabric.device)
    # A module that Fabric wraps would get its boxes in half precision, so torch's wrapper is used directly.
    cuda = fabric.device.type == "cuda"
    return DistributedDataParallel(
        detector,
        device_ids=[fabric.device.index] if cuda else None,
        find_unused_parameters=not settings.triplet.enabled,
    )


def without_sync(student: nn.Module, enabled: bool) -> AbstractContextManager[None]:
    """Leave gradients of one part of a batch to this process; the last part averages them all."""
    return student.no_sync() if enabled and isinstance(student, DistributedDataParallel) else nullcontext()
