"""Labels that are perhaps wrong as questions, and which version of the labels each question shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.artefacts.review import ReviewsAsked
from pipeline.dataset.store import SampleStore
from pipeline.labeling.feedback.review_log import ReviewLog
from pipeline.records import Sample, Task, TaskKind
from pipeline.selection.review_queue import ReviewQueue
from pipeline.selection.review_tasks import review_tasks
from pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ReviewQuestions:
    """What people are asked to review.

    Attributes:
        tasks: Best first.
        unasked: Images that were asked about before, wait, and need no review any more.
    """

    tasks: Sequence[Task]
    unasked: frozenset[str]


def ask_for_reviews(workspace: Workspace, queue: ReviewQueue) -> ReviewQuestions:
    """Make the questions of a queue, and note which version of the labels each one shows before anybody sees it.

    Args:
        workspace: Of the project.
        queue: Images to review, best first.
    """
    store, log = SampleStore(workspace.samples_uri), ReviewLog(workspace)
    version = store.version()
    samples = store.by_ids(queue.images["image_id"].to_pylist(), version)
    asked = log.asked().versions
    waiting = asked.keys() - log.reviewed()
    log.ask(ReviewsAsked({**asked, **_shown_in(store, asked, samples, version)}))
    cycle = max(workspace.cycles(), default=0)
    tasks = review_tasks(
        samples, queue, Task("", "", 0, 0, (), 0.0, "", TaskKind.REVIEW, cycle, asked_at=datetime.now(UTC))
    )
    return ReviewQuestions(tasks, frozenset(waiting - {task.image_id for task in tasks}))


def _shown_in(store: SampleStore, asked: Mapping[str, int], samples: Sequence[Sample], version: int) -> dict[str, int]:
    """The version whose labels people see: an older one where a task has been there since and nothing changed."""
    before: dict[str, Sample] = {}
    for number in {asked[sample.image_id] for sample in samples if sample.image_id in asked}:
        own = [sample.image_id for sample in samples if asked.get(sample.image_id) == number]
        before |= {row.image_id: row for row in store.by_ids(own, number)}
    same = {sample.image_id for sample in samples if _boxes(before.get(sample.image_id)) == _boxes(sample)}
    return {image_id: asked[image_id] if image_id in same else version for image_id in map(_id, samples)}


def _boxes(sample: Sample | None) -> frozenset[str] | None:
    return None if sample is None else frozenset(box.box_id for box in sample.boxes)


def _id(sample: Sample) -> str:
    return sample.image_id
