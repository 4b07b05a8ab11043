"""`crosscheck bench labeling`: how long a push and a harvest of many tasks take at a running Label Studio."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from pipeline.bench.generated_tasks import LABELS, generated_task, served_image
from pipeline.bench.measures import Stopwatch
from pipeline.errors import RemoteError
from pipeline.folder import Folder
from pipeline.labeling.label_studio import LabelStudioBackend
from pipeline.labeling.label_studio.client import Client
from pipeline.labeling.label_studio.project import find_project
from pipeline.progress import Progress, silent
from pipeline.records import Box, Task
from pipeline.settings import DataSettings
from pipeline.settings.labeling import LabelStudioSettings

STEPS = ("push", "push again", "renew", "leave alike", "answer", "harvest", "harvest again")
"""`renew` pushes all tasks once more after some got other boxes, `leave alike` pushes those after a newer model that
finds the same; `answer` is the server's own work, measured for completeness."""
ACCEPTED_IOU = 0.9


@dataclass(frozen=True)
class Load:
    """What the server has to bear.

    Attributes:
        tasks: How many are pushed and harvested.
        boxes: The machine's boxes on each.
        renewed: How many of the tasks get other boxes, as after a new model; at most all of them.
        page_size: Tasks per request.
        timeout_s: Longest wait for one reply; the server makes all answers in one request.
    """

    tasks: int = 10_000
    boxes: int = 5
    renewed: int = 500
    page_size: int = 500
    timeout_s: float = 600.0


@dataclass(frozen=True)
class LabelingResult:
    """What was measured.

    Attributes:
        load: What the server had to bear.
        answered_boxes: In all answers.
        seconds: By the names of `STEPS`.
        tasks_per_s: Of `push` and `harvest`.
    """

    load: Load
    answered_boxes: int
    seconds: Mapping[str, float]
    tasks_per_s: Mapping[str, float]


def bench_labeling(url: str, token: SecretStr, load: Load | None = None, progress: Progress = silent) -> LabelingResult:
    """Push generated tasks twice, renew some as after a new model, have the server answer all, and harvest twice.

    The project is created for this and always removed at the end. One small image, served from here, stands for all of
    them: a push makes sure that the page can show one.

    Args:
        url: A running server.
        token: Of a user who may create projects.
        load: What it has to bear.
        progress: Called before every step.

    Raises:
        RemoteError: The server is down or refuses, or it did not keep what was pushed.
    """
    load = load or Load()
    title, watch = f"crosscheck bench {time.time_ns()}"[:50], Stopwatch()
    settings = LabelStudioSettings(
        url=url, project=title, image_access="url", page_size=load.page_size, timeout_s=load.timeout_s
    )
    client = Client(url, token, load.timeout_s)
    with TemporaryDirectory() as scratch, served_image() as address, _removed_at_the_end(client, title):
        backend = LabelStudioBackend(client, settings, DataSettings(labels=LABELS), ACCEPTED_IOU, Folder(scratch))
        tasks = [generated_task(number, load.boxes, address) for number in range(load.tasks)]
        exchange = _Exchange(client, backend, title, watch, progress)
        other = [generated_task(load.tasks + number, load.boxes, address) for number in range(load.renewed)]
        answered_boxes = exchange.run(tasks, [task.boxes for task in other[: load.tasks]])
    return LabelingResult(
        load,
        answered_boxes=answered_boxes,
        seconds={step: round(watch.total(step), 2) for step in STEPS},
        tasks_per_s={step: round(load.tasks / watch.total(step), 1) for step in ("push", "harvest")},
    )


@dataclass(frozen=True)
class _Exchange:
    """Every push and harvest of the benchmark, with one project of a Label Studio."""

    client: Client
    backend: LabelStudioBackend
    title: str
    watch: Stopwatch
    progress: Progress

    def run(self, tasks: Sequence[Task], boxes: Sequence[tuple[Box, ...]]) -> int:
        """Go through `STEPS`, check every count, and return the boxes in all answers.

        Args:
            tasks: What is asked.
            boxes: Those that the first tasks get as after a new model; so many of them are worth more then, too.

        Raises:
            RemoteError: A count is wrong.
        """
        backend = self.backend
        changed = [
            replace(task, boxes=new, value=task.value + 1.0, model_id="newer")
            for task, new in zip(tasks, boxes, strict=False)
        ]
        with self._step("push"):
            push = backend.push(tasks)
        with self._step("push again"):
            second_push = backend.push(tasks)
        with self._step("renew"):
            renewal = backend.push([*changed, *tasks[len(changed) :]])
        with self._step("leave alike"):
            alike = backend.push([replace(task, model_id="newest") for task in changed])
        with self._step("answer"):
            self.client.accept_predictions(self._project_id())
        with self._step("harvest"):
            harvest = backend.harvest()
        with self._step("harvest again"):
            second_harvest = backend.harvest(harvest.watermark)
        counts = {
            "created": (len(push.created), len(tasks)),
            "existing at the second push": (len(second_push.existing), len(tasks)),
            "created at the second push": (len(second_push.created), 0),
            "renewed": (len(renewal.updated), len(changed)),
            "left alike": (len(alike.unchanged), len(changed)),
            "answered": (len(harvest.answers), len(tasks)),
            "answered at the second harvest": (len(second_harvest.answers), 0),
        }
        wrong = [f"{name}: expected {wanted}, got {got}" for name, (got, wanted) in counts.items() if got != wanted]
        if wrong:
            raise RemoteError(f"Label Studio project {self.title}: {'; '.join(wrong)}")
        return sum(len(answer.boxes) for answer in harvest.answers)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self.progress(name, 0, len(STEPS))
        with self.watch.time(name):
            yield

    def _project_id(self) -> int:
        project = find_project(self.client, self.title)
        assert project is not None, "tasks were pushed to it"
        return int(project["id"])


@contextmanager
def _removed_at_the_end(client: Client, title: str) -> Iterator[None]:
    """Remove a project, if it was created."""
    try:
        yield
    finally:
        project = find_project(client, title)
        if project is not None:
            client.delete_project(int(project["id"]))
