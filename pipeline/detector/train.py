"""Fine-tuning: a loop over steps that can be killed at any of them and goes on from its last checkpoint."""

from __future__ import annotations

import io
import math
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from pipeline.detector.build import Detector
from pipeline.detector.early_stop import EarlyStop
from pipeline.detector.loader import Batch, BatchPlan, batches
from pipeline.detector.teacher import build_teacher
from pipeline.errors import ArtefactError, PipelineError
from pipeline.seeds import derive_seed
from pipeline.settings import TrainingSettings
from pipeline.settings.detector import Precision
from pipeline.workspace import Folder

CHECKPOINT = "checkpoint.pt"
LOG_EVERY = 10
FABRIC_PRECISION: dict[Precision, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps, a line to show)."""


@dataclass
class TrainingResult:
    """What a run was like.

    Attributes:
        steps: Steps done, over all attempts.
        seconds: Time spent, over all attempts.
        images: Images shown.
        curve: Every ten steps: `step`, `loss`, `parts` by name, `lr`.
        faults: Pictures that could not be read: (uri, reason), each once.
        stopped_early: Whether validation AP had stopped rising.
    """

    steps: int = 0
    seconds: float = 0.0
    images: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    stopped_early: bool = False

    @property
    def images_per_s(self) -> float:
        """Images shown a second."""
        return self.images / self.seconds if self.seconds else 0.0


def fine_tune(
    detector: Detector,
    plan: BatchPlan,
    settings: TrainingSettings,
    *,
    seed: int,
    checkpoints: Folder,
    identity: str,
    evaluate: Callable[[Detector], float] | None = None,
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
        evaluate: Gives validation AP, for early stop.
        progress: Told after every step.

    Returns:
        What the run was like.

    Raises:
        PipelineError: A loss or gradient is not finite.
    """
    run = _Run(detector, settings, identity)
    run.restore(checkpoints)
    began, before = time.monotonic(), run.result.seconds
    for batch in batches(plan, run.result.steps, settings.workers):
        run.step(batch, seed)
        run.result.seconds = before + time.monotonic() - began
        done = run.result.steps
        if progress:
            progress(done, settings.steps, "" if run.last_loss is None else f"loss {run.last_loss:.3f}")
        if evaluate and run.early_stop.is_due(done) and run.should_stop(evaluate):
            break
        if done % settings.checkpoint_every_steps == 0 and done < settings.steps:
            run.save(checkpoints)
    run.finish()
    return run.result


class _Run:
    """The moving parts of one run."""

    def __init__(self, detector: Detector, settings: TrainingSettings, identity: str) -> None:
        self.settings = settings
        self.detector = detector
        self.identity = identity
        self.result = TrainingResult()
        self.last_loss: float | None = None
        self.early_stop = EarlyStop(settings.early_stop)
        self.fabric = Fabric(
            accelerator=settings.accelerator,
            devices=1,
            precision=FABRIC_PRECISION[settings.precision],
        )
        detector.train().to(self.fabric.device).to(memory_format=torch.channels_last)
        optimizer = AdamW(list(_parameter_groups(detector, settings)), weight_decay=settings.weight_decay)
        self.optimizer: Any = self.fabric.setup_optimizers(optimizer)
        self.schedule = LambdaLR(optimizer, lambda step: learning_rate_factor(step, settings.steps, settings.warmup))
        self.teacher = build_teacher(detector, settings.ema_decay)
        self._logged: list[dict[str, Tensor]] = []

    def step(self, batch: Batch, seed: int) -> None:
        """Learn from one batch."""
        step = self.result.steps
        torch.manual_seed(derive_seed(seed, "step", step))  # samplers of two-stage heads draw from it
        images = self.fabric.to_device(batch.images)
        targets = [self.fabric.to_device(target) for target in batch.targets]
        with self.fabric.autocast():  # a module that Fabric wraps would get its boxes in half precision
            losses: dict[str, Tensor] = self.detector(images, targets)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        self._clip()
        self.optimizer.step()
        self.schedule.step()
        self.teacher.update_parameters(self.detector)
        self._logged.append({name: loss.detach() for name, loss in losses.items()})
        self.result.steps += 1
        self.result.images += len(batch.images)
        self.result.faults.extend(fault for fault in batch.faults if fault not in self.result.faults)
        if self.result.steps % LOG_EVERY == 0 or self.result.steps == self.settings.steps:
            self._log()

    def _clip(self) -> None:
        try:
            self.fabric.clip_gradients(
                self.detector,
                self.optimizer,
                max_norm=self.settings.clip_norm,
                error_if_nonfinite=self.settings.precision != "fp16",  # the fp16 scaler skips such steps itself
            )
        except RuntimeError as fault:
            raise PipelineError(
                f"Expected finite gradients at step {self.result.steps}, got infinite or NaN ones. Lower "
                "training.learning_rate or use precision fp32; the run goes on from its last checkpoint."
            ) from fault

    def _log(self) -> None:
        parts = {name: float(torch.stack([row[name] for row in self._logged]).mean()) for name in self._logged[0]}
        self.last_loss = loss = sum(parts.values())
        if not math.isfinite(loss):
            raise PipelineError(
                f"Expected a finite loss at step {self.result.steps}, got {parts}. Lower training.learning_rate or use "
                "precision fp32; the run goes on from its last checkpoint."
            )
        self.result.curve.append(
            {"step": self.result.steps, "loss": loss, "parts": parts, "lr": self.schedule.get_last_lr()[-1]}
        )
        self._logged = []

    def should_stop(self, evaluate: Callable[[Detector], float]) -> bool:
        """Evaluate the averaged weights and tell whether to give up."""
        kept = self.kept()
        score = evaluate(kept.eval())
        self.detector.train()
        self.result.stopped_early = self.early_stop.update(score, kept)
        return self.result.stopped_early

    def kept(self) -> Detector:
        """The model whose weights are kept: the average, or the last where averaging is off."""
        averaged: Detector = self.teacher.module  # type: ignore[assignment]
        return averaged if self.settings.ema_decay > 0 else self.detector

    def finish(self) -> None:
        """Put the weights that are kept into the detector."""
        weights = self.early_stop.best_weights or self.kept().state_dict()
        self.detector.load_state_dict({key: value.clone() for key, value in weights.items()})
        self.detector.eval()

    def save(self, checkpoints: Folder) -> None:
        """Write a checkpoint."""
        state = {
            "identity": self.identity,
            "model": self.detector.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "early_stop": self.early_stop.state_dict(),
            "result": vars(self.result),
            "logged": self._logged,
        }
        with checkpoints.create(CHECKPOINT) as file:
            torch.save(state, file)

    def restore(self, checkpoints: Folder) -> None:
        """Go on from a checkpoint of the same run, if there is one."""
        if not checkpoints.exists(CHECKPOINT):
            return
        data = checkpoints.read_bytes(CHECKPOINT)
        try:
            torn = zipfile.ZipFile(io.BytesIO(data)).testzip()
            if torn is not None:
                raise ValueError(f"a wrong checksum of {torn}")
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            if state["identity"] == self.identity:
                self._load(state)
        except Exception as fault:  # torch raises a dozen kinds for a damaged file
            path = checkpoints.path(CHECKPOINT)
            raise ArtefactError(f"{path}: expected a checkpoint, got {fault!r}. Remove it and run again.") from fault

    def _load(self, state: dict[str, Any]) -> None:
        self.detector.load_state_dict(state["model"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.early_stop.load_state_dict(state["early_stop"])
        self.result = TrainingResult(**state["result"])
        self._logged = state["logged"]


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the full learning rate: a linear rise, then half a cosine down to 0.

    Args:
        step: From 0.
        steps: Of the run.
        warmup: Share of the run that rises.

    Returns:
        0 to 1.
    """
    rising = round(steps * warmup)
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _parameter_groups(detector: Detector, settings: TrainingSettings) -> Iterator[dict[str, Any]]:
    """The backbone's body learns slower than what was drawn at random."""
    body = {id(parameter) for parameter in detector.body.parameters()}
    learning = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    groups: list[tuple[list[nn.Parameter], float]] = [
        ([p for p in learning if id(p) in body], settings.learning_rate * settings.backbone_factor),
        ([p for p in learning if id(p) not in body], settings.learning_rate),
    ]
    return ({"params": parameters, "lr": rate} for parameters, rate in groups if parameters)
