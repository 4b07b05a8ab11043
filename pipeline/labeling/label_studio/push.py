"""Tasks on their way to people: checked, then imported best first, each image once; see also `renew`."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from pipeline.errors import UncertainError
from pipeline.labeling.backend import PushResult
from pipeline.labeling.label_studio.client import Client, Json
from pipeline.labeling.label_studio.image_access import connect_images, expect_shown, image_address
from pipeline.labeling.label_studio.page import label_config
from pipeline.labeling.label_studio.payload import task_payload
from pipeline.labeling.label_studio.prediction_check import prediction_checker
from pipeline.labeling.label_studio.project import Guide, ensure_project, show_predictions
from pipeline.labeling.label_studio.renew import STANDING, batches, is_begun, renew, stale, withdraw
from pipeline.labeling.label_studio.sharing import share_out
from pipeline.progress import Progress, silent
from pipeline.records import Task
from pipeline.settings.labeling import LabelStudioSettings


def push_tasks(
    client: Client,
    settings: LabelStudioSettings,
    guide: Guide,
    tasks: Sequence[Task],
    progress: Progress = silent,
    unasked: Collection[str] = (),
) -> PushResult:
    """Add a task for every image that has none, renew open ones, and withdraw those of no use any more.

    Args:
        client: The server.
        settings: Which project, and how images are shown.
        guide: Class names and what people are told of them.
        tasks: Questions in any order; may be empty.
        progress: Called with (new tasks made, new tasks in all) after every batch.
        unasked: Images whose task leaves the queue, unless somebody has begun it.

    Returns:
        Which images got a task, which had one, which were refused and why, and what became of open tasks.

    Raises:
        RemoteError: The server is down or refuses; the next push adds what this one did not.
    """
    project = ensure_project(client, settings, guide)
    known = _tasks_by_image(client, project, STANDING)
    best_first = sorted(tasks, key=lambda task: (-task.value, task.image_id))
    ready, refused = _prepare(best_first, settings, prediction_checker(label_config(guide.data.labels)))
    connect_images(client, project, [task.uri for task in tasks if task.image_id in ready], settings)
    payloads = {image: payload for image, payload in ready.items() if image not in known}
    there = stale([(known[image], payload) for image, payload in ready.items() if image in known])
    not_begun = [(task, payload) for task, payload in there if not is_begun(task)]
    _expect_all_shown(client, project, list(payloads.values()), not_begun, settings)
    made: dict[int, str] = {}
    for batch in batches(list(payloads), settings.page_size):
        new = _import(client, project, {image: payloads[image] for image in batch})
        share_out(client, new, settings)
        made |= new
        progress("pushing tasks", len(made), len(payloads))
    if made or known:
        show_predictions(client, settings.project)
    doubled = _withdraw_doubles(client, project, made)
    renewal = renew(client, project, there, settings.parallel_requests)
    no_use = [known[image] for image in known if image in unasked]
    left, begun = withdraw(client, no_use, settings.lock_s, settings.parallel_requests)
    return PushResult(
        created=tuple(image for image in made.values() if image not in doubled),
        existing=tuple(task.image_id for task in best_first if task.image_id in known or task.image_id in doubled),
        refused=refused,
        updated=renewal.renewed,
        unchanged=renewal.unchanged,
        in_hand=renewal.in_hand,
        withdrawn=left,
        begun=begun,
    )


def _expect_all_shown(
    client: Client,
    project: int,
    new: Sequence[Json],
    renewed: Sequence[tuple[Json, Json]],
    settings: LabelStudioSettings,
) -> None:
    """Make sure that the page can show the images of new tasks, and of open ones that would get another address."""
    moved = [payload for task, payload in renewed if task["data"].get("image") != payload["data"]["image"]]
    held_up = f"{len(new)} new tasks and {len(renewed)} open ones that would have been renewed"
    if moved:
        held_up += f", {len(moved)} of them with another address than now (was document_root changed?)"
    for payloads in (new, moved):
        expect_shown(client, project, [payload["data"]["image"] for payload in payloads], settings, held_up)


def _import(client: Client, project: int, payloads: Mapping[str, Json]) -> dict[int, str]:
    """Import a batch; where the reply is lost, look what is there before the rest is sent once more."""
    try:
        return dict(zip(client.import_tasks(project, list(payloads.values())), payloads, strict=True))
    except UncertainError:
        known = _tasks_by_image(client, project)
    made = {known[image]["id"]: image for image in payloads if image in known}
    rest = {image: payload for image, payload in payloads.items() if image not in known}
    return made | dict(zip(client.import_tasks(project, list(rest.values())), rest, strict=True)) if rest else made


def _prepare(
    tasks: Iterable[Task], settings: LabelStudioSettings, faults_of: Callable[[Json], list[str]]
) -> tuple[dict[str, Json], dict[str, str]]:
    payloads: dict[str, Json] = {}
    refused: dict[str, str] = {}
    for task in tasks:
        try:
            _expect_sound(task)
            payload = task_payload(task, image_address(task.uri, settings))
        except ValueError as fault:
            refused[task.image_id] = str(fault)
            continue
        faults = faults_of(payload["predictions"][0])
        if faults:
            refused[task.image_id] = f"{task.uri}: {'; '.join(faults)}"
        else:
            payloads[task.image_id] = payload
    return payloads, refused


def _expect_sound(task: Task) -> None:
    if task.width < 1 or task.height < 1:
        raise ValueError(f"{task.uri}: expected an image with a width and a height, got {task.width} x {task.height}")
    if not math.isfinite(task.value):
        raise ValueError(f"{task.uri}: expected a finite value of asking, got {task.value}")


def _tasks_by_image(client: Client, project: int, fields: Sequence[str] = ("id", "data")) -> Mapping[str, Json]:
    """The oldest task of every image; each field more takes the server longer."""
    known: dict[str, Json] = {}
    for page in client.tasks(project, fields):
        for task in page.tasks:
            image = task["data"].get("image_id")
            if isinstance(image, str):
                known.setdefault(image, task)
    return known


def _withdraw_doubles(client: Client, project: int, made: Mapping[int, str]) -> set[str]:
    """Take back own tasks whose image got an older one from a pusher on another machine meanwhile."""
    oldest = _tasks_by_image(client, project) if made else {}
    doubles = {task: image for task, image in made.items() if image in oldest and oldest[image]["id"] != task}
    for task in doubles:
        client.delete_task(task)
    return set(doubles.values())
