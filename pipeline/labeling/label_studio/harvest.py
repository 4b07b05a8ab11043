"""Answers on their way back: what is new or changed since the last harvest, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pipeline.labeling.backend import Harvest
from pipeline.labeling.label_studio.answers import Note, Reader, Reading
from pipeline.labeling.label_studio.client import Client, Page
from pipeline.labeling.label_studio.project import find_project
from pipeline.progress import Progress, silent
from pipeline.records import Answer
from pipeline.settings.labeling import LabelStudioSettings

_ANSWERED = ("total_annotations", "cancelled_annotations")
_READ = (
    *("id", "data", "updated_at", "annotations", "predictions"),
    *("result", "completed_by", "was_cancelled", "created_at", "lead_time"),
)
"""Fields of a task, and those of its annotations, which the server picks by the same list."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far harvests came, by the server's clock.

    A task's time is set before its change can be seen, so each harvest looks back a little; what it has given
    already within that time is remembered here and not given again.

    Attributes:
        updated_at: Latest change that was seen; None before the first harvest.
        given: Annotations given within the overlap before it: time of change by id.
    """

    updated_at: datetime | None = None
    given: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> Watermark:
        """Read what `write` wrote; None or an empty text is before the first harvest.

        Raises:
            ValueError: The text is no watermark of this backend.
        """
        if not text:
            return cls()
        try:
            values = json.loads(text)
            return cls(datetime.fromisoformat(values["updated_at"]), dict(values["given"]))
        except (ValueError, KeyError, TypeError) as fault:
            raise ValueError(
                f"Expected the watermark of an earlier Label Studio harvest, got {text[:80]!r}. Harvest once without."
            ) from fault

    def write(self) -> str:
        """Write it as text; empty before the first harvest."""
        if self.updated_at is None:
            return ""
        return json.dumps({"updated_at": self.updated_at.isoformat(), "given": dict(self.given)}, sort_keys=True)

    def is_new(self, answer: Answer, overlap: timedelta) -> bool:
        """Tell whether an answer was not given before."""
        if self.updated_at is None:
            return True
        return answer.updated_at > self.updated_at - overlap and (
            self.given.get(answer.annotation_id) != answer.updated_at.isoformat()
        )

    def after(self, seen: Sequence[Answer], latest: datetime | None, overlap: timedelta) -> Watermark:
        """The watermark after a harvest.

        Args:
            seen: Every answer of the listing, given now or before.
            latest: Latest change of a task in the listing.
            overlap: How far the next harvest looks back.
        """
        reached = max(filter(None, [self.updated_at, latest]), default=None)
        if reached is None:
            return self
        recent = {answer.annotation_id: answer.updated_at for answer in seen if answer.updated_at > reached - overlap}
        return Watermark(reached, {number: recent[number].isoformat() for number in sorted(recent)})


def harvest_answers(
    client: Client,
    settings: LabelStudioSettings,
    reader: Reader,
    watermark: str | None = None,
    progress: Progress = silent,
) -> Harvest:
    """Collect answers that are new or changed.

    Args:
        client: The server.
        settings: Which project, page size and overlap.
        reader: Which classes count, and which boxes as accepted; people and addresses are looked up here.
        watermark: Of the last harvest; None for all answers.
        progress: Called with (tasks read, tasks in all) after every page.

    Returns:
        Answers, oldest change first, and the next watermark; nothing where the project does not exist. Without a
        watermark also every image that has a task.

    Raises:
        RemoteError: The server is down or refuses.
        ValueError: The watermark is not from Label Studio.
    """
    before = Watermark.read(watermark)
    project = find_project(client, settings.project)
    if project is None:
        return Harvest((), before.write(), images=None if watermark else ())
    overlap = timedelta(seconds=settings.overlap_s)
    tasks_at = f"{client.url}/projects/{project['id']}/data?task="
    reader = replace(reader, people=client.people(), tasks_at=tasks_at)
    found, latest = _read(_changed_tasks(client, int(project["id"]), before, settings), reader, progress)
    foreign = [result for result in found if isinstance(result, tuple)]
    seen = [reading for result in found if isinstance(result, list) for reading in result]
    new = [reading for reading in seen if before.is_new(reading.answer, overlap)]
    new.sort(key=lambda reading: (reading.answer.updated_at, reading.answer.annotation_id))
    touched = {reading.answer.image_id for reading in new}
    given = {reading.answer.annotation_id for reading in new}
    return Harvest(
        answers=tuple(reading.answer for reading in new),
        watermark=before.after([reading.answer for reading in seen], latest, overlap).write(),
        notes=(*foreign, *(note for reading in new for note in reading.notes)),
        standing=tuple(
            reading.answer
            for reading in seen
            if reading.answer.image_id in touched and reading.answer.annotation_id not in given
        ),
        images=None if watermark else _images(client, int(project["id"])),
    )


def _images(client: Client, project: int) -> tuple[str, ...]:
    found = (task["data"].get("image_id") for page in client.tasks(project, ("id", "data")) for task in page.tasks)
    return tuple(image for image in found if isinstance(image, str))


def _changed_tasks(client: Client, project: int, watermark: Watermark, settings: LabelStudioSettings) -> Iterator[Page]:
    """Every task that may have new answers; some come twice."""
    since = []
    if watermark.updated_at is not None:
        start = watermark.updated_at - timedelta(seconds=settings.overlap_s)
        # The server reads this one format and answers 500 to every other.
        text = start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        since = [{"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": text}]
    # Skips are counted apart from answers, and the server joins filters by one word only.
    for count in _ANSWERED:
        some = {"filter": f"filter:tasks:{count}", "operator": "greater", "type": "Number", "value": 0}
        yield from client.tasks(project, _READ, [some, *since], settings.page_size)


def _read(
    pages: Iterable[Page], reader: Reader, progress: Progress
) -> tuple[list[list[Reading] | Note], datetime | None]:
    """Read every task once, and tell when the latest of them changed."""
    found: dict[int, list[Reading] | Note] = {}
    changes: set[datetime] = set()
    for page in pages:
        found |= {task["id"]: reader.read(task) for task in page.tasks}
        changes |= {datetime.fromisoformat(task["updated_at"]) for task in page.tasks}
        progress("harvesting answers", len(found), len(found) + page.left)
    return list(found.values()), max(changes, default=None)
