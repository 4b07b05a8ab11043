"""The moving parts of one run of fine-tuning: a step, a look back, a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils._pytree import tree_map_only

from pipeline.artefacts import Look, Rollback, TrainingStep
from pipeline.detector.models.channel_groups import ChannelGroups
from pipeline.detector.models.detector import Detector
from pipeline.detector.models.targets import Target
from pipeline.detector.training.checkpoint import CHECKPOINT, Checkpoint, RunState, no_checkpoint, read_checkpoint
from pipeline.detector.training.data.batches import Batch
from pipeline.detector.training.data.mixup import mixup
from pipeline.detector.training.divergence import Divergence, DivergenceWatch
from pipeline.detector.training.groupable import Groupable
from pipeline.detector.training.optimizer import build_optimizer, learning_rate_factor, stable_steps, steps_with
from pipeline.detector.training.plateau import Plateau
from pipeline.detector.training.processes import student_in_processes, without_sync
from pipeline.detector.training.result import TrainingResult
from pipeline.detector.training.teacher import build_teacher, with_teacher_labels
from pipeline.errors import PipelineError
from pipeline.folder import Folder
from pipeline.seeds import derive_seed
from pipeline.settings import TrainingSettings

LOG_EVERY = 10
T = TypeVar("T")


class RunSpec(NamedTuple):
    """What a run of fine-tuning is. A tuple, since Lightning sends no frozen dataclass to other processes.

    Attributes:
        settings: How it is trained.
        seed: Drives every random choice.
        checkpoints: Where its checkpoint lies.
        identity: What the run is made of; a checkpoint with another identity is not continued.
    """

    settings: TrainingSettings
    seed: int
    checkpoints: Folder
    identity: str


class Run:
    """The moving parts of one run.

    Args:
        detector: The student, changed in place.
        spec: The run.
        fabric: The device, and the other processes where there are several.
    """

    def __init__(self, detector: Detector, spec: RunSpec, fabric: Fabric) -> None:
        settings = spec.settings
        self.settings = settings
        self.detector = detector
        self.spec = spec
        self.result = TrainingResult(precision=settings.precision)
        self._plateau = Plateau(settings.plateau)
        self.fabric = fabric
        detector.train().to(self.fabric.device).to(memory_format=torch.channels_last)
        optimizer = build_optimizer(detector, settings)
        self.optimizer: Any = self.fabric.setup_optimizers(optimizer)
        self._slower = 1.0
        self.schedule = LambdaLR(optimizer, lambda step: self._slower * learning_rate_factor(step, self.settings))
        self._groupable = Groupable(detector, settings.groupable)
        self.teacher = build_teacher(detector, settings.ema_decay)
        self.teacher.module.eval()
        self._student = student_in_processes(detector, fabric, settings)
        self._seed = spec.seed
        self._watch = DivergenceWatch(settings.recovery, lambda values: torch.as_tensor(fabric.all_reduce(values)))
        self._logged: list[dict[str, float]] = []
        self._good = _copy(self._state())

    def step(self, parts: Sequence[Batch]) -> None:
        """Learn from one batch, which may come in parts."""
        step = self.result.steps
        torch.manual_seed(derive_seed(self._seed, "step", step, self.fabric.global_rank))  # samplers of boxes do
        self.detector.set_progress(step / self.settings.steps)
        self.optimizer.zero_grad(set_to_none=True)
        rows = []
        for number, part in enumerate(parts, start=1):
            with without_sync(self._student, number < len(parts)):
                rows.append(self._learn(part, len(parts)))
        losses = {name: torch.stack([row[name] for row in rows]).sum(0) for name in rows[0]}
        norm = self.fabric.clip_gradients(
            self.detector, self.optimizer, max_norm=self.settings.clip_norm, error_if_nonfinite=False
        )
        self.optimizer.step()
        self._groupable.shrink(step, self.optimizer.param_groups[0]["lr"])  # the body comes first
        self.schedule.step()
        self.teacher.update_parameters(self.detector)
        # The scaler of fp16 meets infinite gradients as a matter of course and skips such steps itself.
        norm = None if self.settings.precision == "fp16" else norm
        self._watch.record(step, losses, norm, [name for part in parts for name in part.image_ids])
        self.result.steps += 1
        for part in parts:
            self.result.images += len(part.images) * self.fabric.world_size
            self.result.faults.extend(fault for fault in part.faults if fault not in self.result.faults)

    def _learn(self, batch: Batch, parts: int) -> dict[str, Tensor]:
        """Add the gradient of one part of a batch."""
        images = self.fabric.to_device(batch.images)
        targets = [self.fabric.to_device(target) for target in batch.targets]
        if batch.weak is not None:
            targets = self._second_look(batch, targets)
        if batch.mixing is not None:
            images, targets = mixup(images, targets, self.settings.mixup, self._seed, batch.mixing, batch.pseudo)
        with self.fabric.autocast():  # a module that Fabric wraps would get its boxes in half precision
            losses: dict[str, Tensor] = self._student(images, targets)
        self.fabric.backward(torch.stack(list(losses.values())).sum() / parts)
        return {name: loss.detach() / parts for name, loss in losses.items()}

    @torch.no_grad()
    def _second_look(self, batch: Batch, targets: list[Target]) -> list[Target]:
        with self.fabric.autocast():
            found = iter(self.teacher.module(self.fabric.to_device(batch.weak)))
        settings = self.settings.teacher
        return [
            with_teacher_labels(target, next(found), settings) if is_pseudo else target
            for target, is_pseudo in zip(targets, batch.pseudo, strict=True)
        ]

    def is_over(self) -> bool:
        """Tell whether nothing is left to do."""
        return self.result.steps >= self.settings.steps

    def is_due(self) -> bool:
        """Tell whether to look back now: before a line is logged, weights are kept or judged, and at the end."""
        done = self.result.steps
        return (
            done % LOG_EVERY == 0
            or done % self.settings.checkpoint_every_steps == 0
            or done == self.settings.steps
            or self.is_look_due()
        )

    def look_back(self) -> bool:
        """Log, or return to the last good step.

        Returns:
            Whether all is well; if not, `result.steps` says where to go on.

        Raises:
            PipelineError: It went wrong too often.
        """
        trouble = self._watch.look()
        self.result.faults = list(dict.fromkeys(fault for faults in self._all(self.result.faults) for fault in faults))
        if trouble:
            self._roll_back(trouble)
            return False
        self._logged += self._watch.losses
        if self.result.steps % LOG_EVERY == 0 or self.result.steps == self.settings.steps:
            self._log()
        self._good = _copy(self._state())
        return True

    def _all(self, value: T) -> list[T]:
        """What every process holds, in the order of their ranks."""
        return [self.fabric.broadcast(value, src=rank) for rank in range(self.fabric.world_size)]

    def _roll_back(self, trouble: Divergence) -> None:
        rollbacks, recovery = self.result.rollbacks, self.settings.recovery
        trouble = replace(trouble, image_ids=tuple(name for names in self._all(trouble.image_ids) for name in names))
        if len(rollbacks) >= recovery.max_rollbacks:
            raise PipelineError(
                f"Expected finite losses and gradients, got {trouble}, after {len(rollbacks)} rollbacks. Look at these "
                "images, lower training.learning_rate or use precision fp32; the run goes on from its last checkpoint."
            )
        seconds = self.result.seconds
        self._load(_copy(self._good))
        self.result.seconds = seconds
        self.result.rollbacks = [
            *rollbacks,
            Rollback(trouble.step, self.result.steps, trouble.cause, trouble.image_ids),
        ]
        self._slower *= recovery.learning_rate_factor
        for group in self.optimizer.param_groups:
            group["lr"] *= recovery.learning_rate_factor
        # Should it go wrong again, the way back is to here, and slower still.
        self._good = _copy(self._state())

    def _log(self) -> None:
        parts = {name: fmean(row[name] for row in self._logged) for name in self._logged[0]}
        loss = sum(parts.values())
        self.result.curve.append(TrainingStep(self.result.steps, loss, parts, float(self.schedule.get_last_lr()[-1])))
        self._logged = []

    def is_look_due(self) -> bool:
        """Tell whether to look at held-back images now: while what they say may still make the run shorter."""
        done, stable = self.result.steps, stable_steps(self.settings.steps, self.settings.decay)
        return self._plateau.is_due(done) and max(done, self.settings.plateau.min_steps) < stable

    def found_plateau(self, evaluate: Callable[[Detector], float]) -> bool:
        """Measure the averaged weights; where they no longer get better, let the learning rate fall from here on."""
        score = self.fabric.broadcast(evaluate(self.kept().eval()) if self.fabric.is_global_zero else 0.0)
        self.detector.train()
        done, result = self.result.steps, self.result
        result.looks = [*result.looks, Look(done, score)]
        if self._plateau.is_reached(result.looks):
            result.plateau_step = done
            self._end_after(steps_with(done, self.settings.decay))
        # A step that is taken back later does not take this look back.
        self._good = _copy(self._state())
        return result.plateau_step is not None

    def _end_after(self, steps: int) -> None:
        self.settings = self.settings.model_copy(update={"steps": min(steps, self.settings.steps)})

    def kept(self) -> Detector:
        """The model whose weights are kept: the average, or the last where averaging is off."""
        averaged: Detector = self.teacher.module  # type: ignore[assignment]
        return averaged if self.settings.ema_decay > 0 else self.detector

    def weights(self) -> dict[str, Tensor]:
        """The weights that are kept."""
        return {key: value.clone() for key, value in self.kept().state_dict().items()}

    def _state(self) -> RunState:
        return {
            "model": self.detector.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "groups": {name: tuple(sides) for name, sides in self._groupable.groups.items()},
            "slower": self._slower,
            "steps": self.settings.steps,
            "means": list(self._watch.means),
            "result": self.result.state_dict(),
            "logged": list(self._logged),
        }

    def _load(self, state: RunState) -> None:
        self.detector.load_state_dict(state["model"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self._groupable.groups = {name: ChannelGroups(*sides) for name, sides in state["groups"].items()}
        self._slower = state["slower"]
        self._end_after(state["steps"])
        self._watch.means = list(state["means"])
        self.result = TrainingResult.from_state(state["result"])
        self._logged = list(state["logged"])

    def save(self) -> None:
        """Write a checkpoint; one process does."""
        if not self.fabric.is_global_zero:
            return
        state: Checkpoint = {**self._state(), "identity": self.spec.identity}
        with self.spec.checkpoints.create(CHECKPOINT) as file:
            torch.save(state, file)

    def restore(self) -> None:
        """Go on from a checkpoint of the same run, if there is one."""
        state = read_checkpoint(self.spec.checkpoints, self.spec.identity)
        if state is None:
            return
        try:
            self._load(state)
        except Exception as fault:  # torch raises a dozen kinds for weights of another network
            raise no_checkpoint(self.spec.checkpoints, fault) from fault
        self._good = _copy(self._state())


def _copy(state: RunState) -> RunState:
    copied: RunState = tree_map_only(Tensor, torch.clone, state)
    return copied
