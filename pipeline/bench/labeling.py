"""How long it takes to ask about many images, and to take the answers in, at a running Label Studio."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from pydantic import SecretStr

from pipeline.errors import RemoteError
from pipeline.labeling.label_studio import LabelStudioBackend
from pipeline.labeling.label_studio.client import Client
from pipeline.labeling.label_studio.project import find_project
from pipeline.records import Box, Source, Task, make_box_id
from pipeline.seeds import numpy_generator
from pipeline.settings.labeling import LabelStudioSettings
from pipeline.stages.cycle import Progress, silent
from pipeline.workspace import Folder

LABELS = ("bolt", "nut", "washer")
SIDE = (1280, 960)
Result = TypeVar("Result")


def bench_labeling(
    url: str,
    token: SecretStr,
    *,
    tasks: int = 10_000,
    boxes: int = 5,
    page_size: int = 500,
    timeout_s: float = 600.0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Push generated tasks twice, have the server answer all of them, and harvest twice.

    The project is made for this and removed at the end, however it ends. No picture is needed: none is shown.

    Args:
        url: A running server.
        token: Of a user who may make projects.
        tasks: How many.
        boxes: The machine's boxes on each.
        page_size: Tasks a request.
        timeout_s: Longest wait for one reply; the server alone makes the answers, in one request.
        progress: Told while it goes on.

    Returns:
        What was measured, in seconds by step, with the counts that prove it.

    Raises:
        RemoteError: The server is down or refuses, or it did not keep what was pushed.
    """
    settings = LabelStudioSettings(
        url=url, project=f"crosscheck bench {time.time_ns()}"[:50], pictures="url", page_size=page_size,
        timeout_s=timeout_s,
    )  # fmt: skip
    client = Client(url, token, timeout_s)
    asked = [_task(number, boxes) for number in range(tasks)]
    seconds: dict[str, float] = {}
    with TemporaryDirectory() as scratch, _project(client, settings.project):
        backend = LabelStudioBackend(settings, LABELS, token, 0.9, Folder(Path(scratch)))

        def step(name: str, call: Callable[[], Result]) -> Result:
            progress(name, 0, len(STEPS))
            began = time.perf_counter()
            result = call()
            seconds[name] = time.perf_counter() - began
            return result

        first = step("push", lambda: backend.push(asked))
        again = step("push again", lambda: backend.push(asked))
        project = find_project(client, settings.project)
        assert project is not None, "it was pushed to"
        step("answer", lambda: client.accept_predictions(int(project["id"])))
        found = step("harvest", backend.harvest)
        nothing = step("harvest again", lambda: backend.harvest(found.watermark))
    counts = (len(first.created), len(again.existing), len(found.answers), len(again.created), len(nothing.answers))
    if counts != (tasks, tasks, tasks, 0, 0):
        raise RemoteError(
            f"Label Studio at {url}: expected {tasks} tasks created, found again and answered, then nothing new, got "
            f"{counts}"
        )
    return {
        "tasks": tasks,
        "boxes": sum(len(answer.boxes) for answer in found.answers),
        "page_size": page_size,
        "seconds": {name: round(seconds[name], 2) for name in STEPS},
        "tasks_per_s": {name: round(tasks / seconds[name], 1) for name in ("push", "harvest")},
    }


STEPS = ("push", "push again", "answer", "harvest", "harvest again")
"""`answer` is the server's own work, measured for completeness."""


@contextmanager
def _project(client: Client, title: str) -> Iterator[None]:
    try:
        yield
    finally:
        project = find_project(client, title)
        if project is not None:
            client.delete_project(int(project["id"]))


def _task(number: int, boxes: int) -> Task:
    image_id = hashlib.sha256(f"benchmark {number}".encode()).hexdigest()
    generator = numpy_generator(0, "labeling benchmark", image_id)
    corners = generator.uniform(0.0, 0.8, (boxes, 2)) * SIDE
    sides = generator.uniform(0.05, 0.2, (boxes, 2)) * SIDE
    scores = generator.uniform(size=boxes)
    shown = []
    for place, (x, y, width, height) in enumerate(zip(*corners.T.tolist(), *sides.T.tolist(), strict=True)):
        box, label = (x, y, x + width, y + height), LABELS[place % len(LABELS)]
        shown.append(Box(make_box_id(image_id, label, box, "bench"), *box, label, Source.PSEUDO, float(scores[place])))
    return Task(
        image_id=image_id,
        uri=f"https://pictures.invalid/{number}.jpg",
        width=SIDE[0],
        height=SIDE[1],
        boxes=tuple(shown),
        value=float(generator.uniform(0.0, 5.0)),
        reason=f"benchmark task {number}",
        model_id="benchmark",
    )
