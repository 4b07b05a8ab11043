"""`crosscheck bench asking`: what the simulated annotator's answers take, with the machine's boxes and without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import ClassVar

from pipeline.bench.scenario import ScenarioCell, ScenarioResult, alone, train
from pipeline.cycle import Cycle
from pipeline.labeling.annotators import simulated_annotator
from pipeline.labeling.feedback.prices import Actions, actions_of, seconds_of
from pipeline.progress import Progress
from pipeline.records import Answer, Task, TaskKind
from pipeline.runners import runner_of
from pipeline.selection.tasks import queued_tasks
from pipeline.settings import Settings
from pipeline.stages.harvest import harvest
from pipeline.stages.mine import mine
from pipeline.stages.select import select

CHOSEN, CORRECTED, DRAWN = "as asked", "all corrected", "all drawn"
WAYS = (CHOSEN, CORRECTED, DRAWN)
"""The ways that people are asked about the same images: as the queue chooses, all to correct, all without boxes."""


@dataclass(frozen=True)
class Work:
    """What answers take.

    Attributes:
        images: Answered.
        verified: Those of them that were verified box by box.
        seconds: By `labeling.seconds`.
        actions: What became of the machine's boxes, and what was drawn.
        boxes: That the answers hold.
        open_images: Verified images that stay open in part.
    """

    images: int = 0
    verified: int = 0
    seconds: float = 0.0
    actions: Actions = field(default_factory=Actions)
    boxes: int = 0
    open_images: int = 0

    @property
    def seconds_per_image(self) -> float | None:
        """None without images."""
        return self.seconds / self.images if self.images else None

    @property
    def seconds_per_box(self) -> float | None:
        """Seconds for each box that the answers hold; None without."""
        return self.seconds / self.boxes if self.boxes else None


@dataclass(frozen=True)
class AskingResult(ScenarioResult):
    """The first images that people are asked about after training.

    Attributes:
        work: By the names of `WAYS`.
    """

    MADE_BY: ClassVar[str] = "crosscheck bench asking"

    work: Mapping[str, Work]


@dataclass(frozen=True)
class AskingCell(ScenarioCell):
    """A scenario, and how many images people are asked about; no task is blind and none an audit.

    Attributes:
        images: Most images.
    """

    images: int

    @property
    def changes(self) -> tuple[str, ...]:
        """Every image of the queue is asked about with its boxes."""
        shares = ("selection.audit_share=0", "selection.query.blind_share=0")
        return (f"selection.query.images={self.images}", "labeling.verification=true", *shares)

    @property
    def varied(self) -> tuple[object, ...]:
        """The number of images."""
        return (self.images,)

    def measure(self, progress: Progress) -> AskingResult:
        """Train, mine and select as a first cycle does, and have the same images answered in every way."""
        settings = self.settings
        cycle = train(settings, progress)
        with alone(settings), runner_of(settings.runner) as runner:
            harvest(cycle, None, progress)
            mine(cycle, progress, runner)
            select(cycle)
            tasks = queued_tasks(cycle)
        return AskingResult(**vars(self.identity), work={way: _work(cycle, tasks, way) for way in WAYS})


def _work(cycle: Cycle, tasks: Sequence[Task], way: str) -> Work:
    """Have all of them answered one way, by an annotator who remembers nothing."""
    with TemporaryDirectory() as folder:
        settings = cycle.settings.model_copy(update={"workspace": folder})
        annotator = simulated_annotator(settings)
        annotator.push([_asked(task, way) for task in tasks])
        answers = [answer for answer in annotator.harvest().answers if not answer.skipped]
    return measured(answers, settings)


def measured(answers: Sequence[Answer], settings: Settings) -> Work:
    """Sum up what answers take, by the settings' `labeling.seconds`."""
    return Work(
        images=len(answers),
        verified=sum(answer.verified for answer in answers),
        seconds=sum(seconds_of(answer, settings.labeling.seconds) for answer in answers),
        actions=sum(map(actions_of, answers), Actions()),
        boxes=sum(len(answer.boxes) for answer in answers),
        open_images=sum(answer.is_in_part for answer in answers),
    )


def _asked(task: Task, way: str) -> Task:
    if way == CORRECTED:
        return replace(task, kind=TaskKind.ASK)
    return replace(task, kind=TaskKind.BLIND, boxes=()) if way == DRAWN else task
