"""Answered tasks that are opened once more, for somebody else."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.labeling.label_studio.client import Client
from pipeline.labeling.label_studio.project import find_project
from pipeline.settings.labeling import LabelStudioSettings


def open_again(client: Client, settings: LabelStudioSettings, image_ids: Sequence[str]) -> int:
    """Put answered tasks back into the queue of everybody who has not answered them.

    The server ends a task at so many answers as its `overlap` says, and notices a greater overlap only with its next
    answer, so that the task is marked as open as well. A skip counts as an answer, unless skipped tasks go to others.

    Args:
        client: The server.
        settings: Which project.
        image_ids: Images that people disagree about; may be empty.

    Returns:
        Tasks that are open again; an image whose task is gone has none.

    Raises:
        RemoteError: The server is down or refuses.
    """
    project = find_project(client, settings.project) if image_ids else None
    if project is None:
        return 0
    wanted, opened = frozenset(image_ids), 0
    counts = ("total_annotations", *(() if settings.skipped_go_to == "others" else ("cancelled_annotations",)))
    answered = {"filter": "filter:tasks:total_annotations", "operator": "greater", "type": "Number", "value": 0}
    for page in client.tasks(int(project["id"]), ("id", "data", *counts), [answered]):
        for task in page.tasks:
            if task["data"].get("image_id") in wanted:
                client.update_task(task["id"], overlap=sum(task[name] for name in counts) + 1, is_labeled=False)
                opened += 1
    return opened
