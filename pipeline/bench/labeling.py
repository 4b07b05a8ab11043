"""How long it takes to ask about many images, and to take the answers in, at a running Label Studio."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from PIL import Image
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
    renewed: int = 500,
    page_size: int = 500,
    timeout_s: float = 600.0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Push generated tasks twice, renew some as after a new model, have the server answer all, and harvest twice.

    The project is made for this and removed at the end, however it ends. One small image, served from here, stands
    for all of them: a push looks whether the page can show one.

    Args:
        url: A running server.
        token: Of a user who may make projects.
        tasks: How many.
        boxes: The machine's boxes on each.
        renewed: How many of the tasks get new boxes; at most all of them.
        page_size: Tasks a request.
        timeout_s: Longest wait for one reply; the server alone makes the answers, in one request.
        progress: Told while it goes on.

    Returns:
        What was measured, in seconds by step, with the counts that prove it.

    Raises:
        RemoteError: The server is down or refuses, or it did not keep what was pushed.
    """
    settings = LabelStudioSettings(
        url=url, project=f"crosscheck bench {time.time_ns()}"[:50], images="url", page_size=page_size,
        timeout_s=timeout_s,
    )  # fmt: skip
    client = Client(url, token, timeout_s)
    seconds: dict[str, float] = {}
    with TemporaryDirectory() as scratch, _image() as address, _project(client, settings.project):
        asked = [_task(number, boxes, address) for number in range(tasks)]
        backend = LabelStudioBackend(settings, LABELS, token, 0.9, Folder(Path(scratch)))

        def step(name: str, call: Callable[[], Result]) -> Result:
            progress(name, 0, len(STEPS))
            began = time.perf_counter()
            result = call()
            seconds[name] = time.perf_counter() - began
            return result

        first = step("push", lambda: backend.push(asked))
        again = step("push again", lambda: backend.push(asked))
        fresh = [replace(task, model_id="newer") for task in asked[:renewed]]
        changed = step("renew", lambda: backend.push([*fresh, *asked[renewed:]]))
        project = find_project(client, settings.project)
        assert project is not None, "it was pushed to"
        step("answer", lambda: client.accept_predictions(int(project["id"])))
        found = step("harvest", backend.harvest)
        nothing = step("harvest again", lambda: backend.harvest(found.watermark))
    counts = {
        "created": (len(first.created), tasks),
        "found again": (len(again.existing), tasks),
        "created again": (len(again.created), 0),
        "renewed": (len(changed.updated), len(fresh)),
        "answered": (len(found.answers), tasks),
        "answered again": (len(nothing.answers), 0),
    }
    wrong = [f"{name}: expected {wanted}, got {got}" for name, (got, wanted) in counts.items() if got != wanted]
    if wrong:
        raise RemoteError(f"Label Studio at {url}: {'; '.join(wrong)}")
    return {
        "tasks": tasks,
        "renewed": len(fresh),
        "boxes": sum(len(answer.boxes) for answer in found.answers),
        "page_size": page_size,
        "seconds": {name: round(seconds[name], 2) for name in STEPS},
        "tasks_per_s": {name: round(tasks / seconds[name], 1) for name in ("push", "harvest")},
    }


STEPS = ("push", "push again", "renew", "answer", "harvest", "harvest again")
"""`renew` pushes once more all tasks, of which some have changed; `answer` is the server's own work, measured for
completeness."""


@contextmanager
def _project(client: Client, title: str) -> Iterator[None]:
    try:
        yield
    finally:
        project = find_project(client, title)
        if project is not None:
            client.delete_project(int(project["id"]))


@contextmanager
def _image() -> Iterator[str]:
    """Serve one image, whatever is asked for, and give the address."""
    file = io.BytesIO()
    Image.new("RGB", SIDE, "grey").save(file, "PNG")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(file.getvalue())))
            self.end_headers()
            self.wfile.write(file.getvalue())

        def log_message(self, *_: object) -> None:
            """Standard error is for progress."""

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _task(number: int, boxes: int, address: str) -> Task:
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
        uri=f"{address}/{number}.png",
        width=SIDE[0],
        height=SIDE[1],
        boxes=tuple(shown),
        value=float(generator.uniform(0.0, 5.0)),
        reason=f"benchmark task {number}",
        model_id="benchmark",
    )
