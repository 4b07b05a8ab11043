"""Label Studio behind the one interface."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from copy import copy
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import RemoteError
from pipeline.folder import Folder
from pipeline.labeling.backend import Harvest, PushResult
from pipeline.labeling.label_studio.answers import Reader
from pipeline.labeling.label_studio.client import Client
from pipeline.labeling.label_studio.disagreement import mark_disputed
from pipeline.labeling.label_studio.harvest import harvest_answers
from pipeline.labeling.label_studio.project import Guide
from pipeline.labeling.label_studio.push import push_tasks
from pipeline.labeling.label_studio.reopening import open_again
from pipeline.progress import Progress, silent
from pipeline.records import Task
from pipeline.settings import DataSettings
from pipeline.settings.labeling import LabelStudioSettings

_REVIEWS = "label_studio_reviews"
_LONGEST_TITLE = 50


def review_title(project: str) -> str:
    """The title of the project that holds the reviews of another; the server takes no longer one."""
    ending = " review"
    return project[: _LONGEST_TITLE - len(ending)].rstrip() + ending


class LabelStudioBackend:
    """Asks people through Label Studio and collects what they say.

    Two pushes never run at once from one workspace on a local disk: a lock file refuses the second. Pushers that share
    no disk may overlap; each then takes back the tasks that it made for an image which another has made one for before,
    so that every image ends with one task.

    Args:
        client: The server.
        settings: The project, how images are shown.
        data: Class names and their descriptions.
        accepted_iou: A machine box changed less than this counts as accepted, 0 to 1.
        folder: Where the lock file lies, and example pictures of the classes.
    """

    def __init__(
        self, client: Client, settings: LabelStudioSettings, data: DataSettings, accepted_iou: float, folder: Folder
    ) -> None:
        self._client = client
        self._settings = settings
        self._guide = Guide(data, accepted_iou, folder)
        self._reader = Reader(frozenset(data.labels), accepted_iou)
        self._folder = folder

    def __repr__(self) -> str:
        """The server and the project, never the token."""
        return f"LabelStudioBackend({self._settings.url!r}, {self._settings.project!r})"

    def push(self, tasks: Sequence[Task], progress: Progress = silent, unasked: Collection[str] = ()) -> PushResult:
        """Ask about images, best first. Pushing an image again adds nothing.

        Args:
            tasks: Every question that waits for an answer. A task that nobody has begun gets the newest boxes.
            progress: Told while it goes on.
            unasked: Images whose tasks leave the queue, unless somebody has begun.

        Raises:
            RemoteError: The server is down or refuses, or another push is under way; what was pushed before stays
                pushed, and the next push adds the rest.
        """
        try:
            with self._lock():
                return push_tasks(self._client, self._settings, self._guide, tasks, progress, unasked)
        except Timeout as fault:
            raise RemoteError(
                f"Expected to be the only push to {self._settings.project!r}, another is under way. Wait for its end."
            ) from fault

    def harvest(self, watermark: str | None = None, progress: Progress = silent) -> Harvest:
        """Collect answers that are new or changed since a watermark; all of them for None.

        Raises:
            RemoteError: The server is down or refuses.
            ValueError: The watermark is not from Label Studio.
        """
        return harvest_answers(self._client, self._settings, self._reader, watermark, progress)

    def for_reviews(self) -> LabelStudioBackend:
        """The same server with a project of its own for reviews: an image has one task in a project."""
        other = copy(self)
        other._settings = self._settings.model_copy(
            update={"project": review_title(self._settings.project), "people_per_image": 1}
        )
        other._folder = self._folder.folder(_REVIEWS)
        return other

    def ask_again(self, image_ids: Sequence[str]) -> int:
        """Open answered tasks for one person more; those who have answered do not meet them again.

        Raises:
            RemoteError: The server is down or refuses.
        """
        return open_again(self._client, self._settings, image_ids)

    def mark_disputed(self, disputed: Collection[str], settled: Collection[str]) -> None:
        """Show in the tab `disagreement` which images people disagree about.

        Raises:
            RemoteError: The server is down or refuses.
        """
        mark_disputed(self._client, self._settings, disputed, settled)

    def _lock(self) -> FileLock | nullcontext[None]:
        place = Path(self._folder.path("push.lock"))
        if "://" in self._folder.uri:
            return nullcontext()
        place.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(place, timeout=0)
