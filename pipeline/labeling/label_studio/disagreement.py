"""Which answered tasks people disagree about, for the tab `disagreement`."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.labeling.label_studio.client import Client
from pipeline.labeling.label_studio.project import find_project
from pipeline.labeling.label_studio.tabs import DISPUTED
from pipeline.settings.labeling import LabelStudioSettings

_MARKED_AT_ONCE = 500


def mark_disputed(
    client: Client, settings: LabelStudioSettings, disputed: Collection[str], settled: Collection[str]
) -> None:
    """Mark tasks that people disagree about, and take the mark from those about which they do not any more.

    Marking changes no answer and not the time of its task's last change, so that no harvest reads it again for that.

    Args:
        client: The server.
        settings: Which project.
        disputed: Images that people disagree about; may be empty.
        settled: Images that were answered without a disagreement; may be empty.

    Raises:
        RemoteError: The server is down or refuses; marking again marks the rest.
    """
    project = find_project(client, settings.project) if disputed or settled else None
    if project is None:
        return
    several = {"filter": "filter:tasks:total_annotations", "operator": "greater", "type": "Number", "value": 1}
    marked = {"filter": f"filter:tasks:data.{DISPUTED}", "operator": "equal", "type": "String", "value": "yes"}
    for images, condition, value in ((disputed, several, "yes"), (settled, marked, "no")):
        wanted = frozenset(images)
        pages = client.tasks(int(project["id"]), ("id", "data"), [condition]) if wanted else ()
        numbers = [
            task["id"]
            for page in pages
            for task in page.tasks
            if task["data"].get("image_id") in wanted and task["data"].get(DISPUTED) != value
        ]
        for start in range(0, len(numbers), _MARKED_AT_ONCE):
            client.set_data(int(project["id"]), numbers[start : start + _MARKED_AT_ONCE], DISPUTED, value)
