"""The one interface to whoever answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.artefacts import PushRun
from pipeline.progress import Progress, silent
from pipeline.records import Answer, Task


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did.

    Attributes:
        created: Images that had no task yet and got one.
        existing: Images that had a task already; what people began is left alone.
        refused: Images that could not be pushed, with the reason.
        updated: Those of the existing whose task, untouched so far, got new boxes, reason and place in the queue.
        unchanged: Those whose task stays as it was, since it would have got nearly the same boxes and the same place.
        in_hand: Those whose task stays as it was, although its boxes are outdated, since somebody has begun it.
        withdrawn: Images nobody is asked about any more, whose task left the queue in this push.
        begun: Images nobody need be asked about any more, whose task stays, since somebody has begun it.
    """

    created: tuple[str, ...] = ()
    existing: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    in_hand: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()

    def counted(self) -> PushRun:
        """The same in numbers, but for what was refused."""
        return PushRun(
            created=len(self.created),
            existing=len(self.existing),
            refused=self.refused,
            updated=len(self.updated),
            unchanged=len(self.unchanged),
            in_hand=len(self.in_hand),
            withdrawn=len(self.withdrawn),
            begun=len(self.begun),
        )


@dataclass(frozen=True, slots=True)
class Harvest:
    """What people answered.

    Attributes:
        answers: New or changed answers, oldest change first, at most one an annotation.
        watermark: Give it to the next harvest; opaque, JSON-safe text.
        notes: What could not be read and why, for the report: (image id or task, problem).
        standing: What else is said of the images that have new answers: given before, and unchanged since.
        images: Every image that has a task, where all answers were asked for; None where not looked at.
    """

    answers: tuple[Answer, ...]
    watermark: str
    notes: tuple[tuple[str, str], ...] = ()
    standing: tuple[Answer, ...] = ()
    images: tuple[str, ...] | None = None


class LabelingBackend(Protocol):
    """Takes questions and gives answers; never waits for people."""

    def push(self, tasks: Sequence[Task], progress: Progress = silent, unasked: Collection[str] = ()) -> PushResult:
        """Ask about images, best first. Pushing an image again adds nothing.

        Args:
            tasks: Every question that waits for an answer.
            progress: Told while it goes on.
            unasked: Images that nobody need be asked about; where they are asked about, they are not any more, unless
                somebody has begun.

        Raises:
            RemoteError: The service is down or refuses; what was pushed before stays pushed.
        """
        ...

    def harvest(self, watermark: str | None = None, progress: Progress = silent) -> Harvest:
        """Collect answers that are new or changed since a watermark; all of them for None.

        Raises:
            RemoteError: The service is down or refuses.
        """
        ...

    def mark_disputed(self, disputed: Collection[str], settled: Collection[str], /) -> None:
        """Show whoever leads which images people disagree about, and which not any more. Doing it twice is harmless.

        Raises:
            RemoteError: The service is down or refuses.
        """
        ...

    def for_reviews(self) -> LabelingBackend:
        """The same people, asked about labels that are there; with tasks and answers apart from all others."""
        ...

    def ask_again(self, image_ids: Sequence[str], /) -> int:
        """Have one person more answer images that people disagree about. Asking twice changes nothing.

        Returns:
            How many images are open again.

        Raises:
            RemoteError: The service is down or refuses.
        """
        ...
