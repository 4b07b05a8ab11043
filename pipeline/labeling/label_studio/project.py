"""The project in Label Studio: found by its title or made, and kept in shape."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipeline.errors import RemoteError
from pipeline.folder import Folder
from pipeline.labeling.label_studio.client import Client
from pipeline.labeling.label_studio.example_pictures import example_addresses
from pipeline.labeling.label_studio.page import instructions, label_config
from pipeline.labeling.label_studio.tabs import ensure_tabs
from pipeline.settings import DataSettings
from pipeline.settings.labeling import LabelStudioSettings

MODEL_VERSION = "crosscheck"
"""All predictions carry this one name: the queue serves only tasks whose prediction has the project's model version,
so with one name per model, tasks of an earlier model would wait for ever. The task's data names the model itself."""

_ADDRESS = re.compile('src="[^"]*"')
_SKIP_QUEUE = {"nobody": "IGNORE_SKIPPED", "others": "REQUEUE_FOR_OTHERS", "same_person": "REQUEUE_FOR_ME"}


def find_project(client: Client, title: str) -> dict[str, Any] | None:
    """Look a project up by its title.

    Returns:
        The project, None where there is none.

    Raises:
        RemoteError: Several projects have this title.
    """
    found = client.projects(title)
    if len(found) > 1:
        ids = ", ".join(str(project["id"]) for project in found)
        raise RemoteError(
            f"Label Studio at {client.url}: expected one project called {title!r}, got {len(found)} (ids {ids}). "
            f"Rename the others, or set labeling.label_studio.project to another title."
        )
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Guide:
    """What people are told of the classes and of boxes.

    Attributes:
        data: Class names and their descriptions.
        accepted_iou: A machine box changed less than this counts as accepted, 0 to 1.
        folder: Of the labelling backend; may hold example pictures, see `examples.write_examples`.
    """

    data: DataSettings
    accepted_iou: float
    folder: Folder


def ensure_project(client: Client, settings: LabelStudioSettings, guide: Guide) -> int:
    """Find the project or make it, and give it the shape that the queue needs.

    Args:
        client: The server.
        settings: The project's title, and what becomes of skipped tasks.
        guide: Class names and what people are told of them; labels that the project has beside these are removed
            unless annotations use them.

    Returns:
        The project's id.

    Raises:
        RemoteError: A label that annotations use is not among the class names, or the server refuses.
    """
    title, data = settings.project, guide.data
    project = find_project(client, title)
    config = label_config(data.labels, (project or {}).get("label_config") or "")
    shape = {
        "label_config": config,
        "expert_instruction": instructions(data, guide.accepted_iou, edge_cases=settings.edge_cases),
        "show_instruction": True,
        "sampling": "Uncertainty sampling",
        "skip_queue": _SKIP_QUEUE[settings.skipped_go_to],
        "show_collab_predictions": True,
    }
    if project is None:
        project = client.create_project(title=title, model_version=MODEL_VERSION, **shape)
    number = int(project["id"])
    pictures = example_addresses(client, number, guide.folder)
    written = instructions(data, guide.accepted_iou, pictures, settings.edge_cases)
    shape |= {"expert_instruction": written, "show_instruction": _pops_up(project, written)}
    changes = {name: value for name, value in shape.items() if project.get(name) != value}
    if "label_config" in changes:
        _refuse_lost_labels(client, number, title, config)
    if changes:
        client.update_project(number, **changes)
    ensure_tabs(client, number)
    return number


def _pops_up(project: dict[str, Any], written: str) -> bool:
    """Whether instructions pop up before people begin to label: not once somebody has answered with the same words."""
    before, now = (_ADDRESS.sub("", text) for text in (project.get("expert_instruction") or "", written))
    return before != now or not project.get("total_annotations_number")


def show_predictions(client: Client, title: str) -> None:
    """Have a project that holds tasks draw their predictions and order the queue by them.

    The server takes a model version for an existing project only when a prediction carries it.

    Args:
        client: The server.
        title: Of the project.
    """
    project = find_project(client, title)
    if project is not None and project.get("model_version") != MODEL_VERSION:
        client.update_project(int(project["id"]), model_version=MODEL_VERSION)


def _refuse_lost_labels(client: Client, project: int, title: str, config: str) -> None:
    try:
        client.check_config(project, config)
    except RemoteError as fault:
        raise RemoteError(
            f"{fault}. Project {title!r} has annotations or drafts that data.labels does not cover: add their labels "
            f"to data.labels again, or choose another project by labeling.label_studio.project."
        ) from fault
