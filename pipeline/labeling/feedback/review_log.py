"""Reviews of labels: what was asked, and every answer; apart from the harvests of first labels and audits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar

from pipeline.artefacts.review import ReviewsAsked
from pipeline.dataset.store import SampleStore
from pipeline.dataset.versions import standing_versions
from pipeline.labeling.feedback.harvests import HarvestLog
from pipeline.records import Answer
from pipeline.workspace import Workspace


class ReviewLog(HarvestLog):
    """Harvests of reviews, oldest first.

    Args:
        workspace: Of the project.
    """

    PART: ClassVar[str] = "reviews"
    COMMITTED_AS: ClassVar[str] = "review "

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._asked = workspace.labeling

    def asked(self) -> ReviewsAsked:
        """What people were sent so far."""
        if not self._asked.exists(ReviewsAsked.FILE):
            return ReviewsAsked()
        return self._asked.read_record(ReviewsAsked.FILE, ReviewsAsked)

    def ask(self, asked: ReviewsAsked) -> None:
        """Keep what people are sent, before they are."""
        self._asked.write_record(ReviewsAsked.FILE, asked)

    def reviewed(self) -> frozenset[str]:
        """Images that somebody has looked at again; nobody is asked about them once more."""
        return frozenset(answer.image_id for answer in self.answers(self.finished()))

    def reviewed_at(self, store: SampleStore) -> dict[str, datetime]:
        """When each image was last reviewed, those apart whose review a later restore undid."""
        names = self.finished()
        versions = {version.number for version in standing_versions(store.history())} if names else set()
        standing = [name for name in names if self.summary(name).version in versions]
        times: dict[str, datetime] = {}
        for answer in self.answers(standing):
            if not answer.skipped:
                times[answer.image_id] = max(times.get(answer.image_id, answer.updated_at), answer.updated_at)
        return times


def not_reviewed_since(answers: Iterable[Answer], reviewed_at: Mapping[str, datetime]) -> list[Answer]:
    """Answers that no later review of their image has settled."""
    return [
        answer
        for answer in answers
        if answer.image_id not in reviewed_at or answer.updated_at > reviewed_at[answer.image_id]
    ]
