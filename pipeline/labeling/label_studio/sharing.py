"""How many people answer a new task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from pipeline.labeling.label_studio.client import Client
from pipeline.settings.labeling import LabelStudioSettings

_WHOLE = 2**32


def share_out(client: Client, made: Mapping[int, str], settings: LabelStudioSettings) -> None:
    """Have several people answer some of the new tasks: the server gives each person a task once.

    The server's own setting draws the shared tasks anew with every import; ours depends on the image alone.

    Args:
        client: The server.
        made: Images by new task.
        settings: How many people, and of which share of the tasks.

    Raises:
        RemoteError: The server is down or refuses.
    """
    if settings.people_per_image == 1:
        return
    shared = [task for task, image in made.items() if is_shared(image, settings.shared)]
    with ThreadPoolExecutor(settings.parallel_requests) as pool:
        list(pool.map(lambda task: client.update_task(task, overlap=settings.people_per_image), shared))


def is_shared(image_id: str, share: float) -> bool:
    """Draw by the image, so that a repeated push draws the same."""
    return int(hashlib.sha256(image_id.encode()).hexdigest()[:8], 16) < share * _WHOLE
