"""The simulated annotator: the only holder of the hidden boxes.

It gives away what a person would give: answers about images that it was asked about, the boxes of the few images
that a project starts with, and, for the report of an experiment, counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import TypeAdapter

from pipeline.dataset.formats.entry import ImportResult
from pipeline.errors import LeakError
from pipeline.folder import Folder
from pipeline.labeling.annotator_noise import claim, deleted, draw, verdicts
from pipeline.labeling.backend import Harvest, PushResult
from pipeline.labeling.feedback.prices import seconds_of
from pipeline.labeling.hidden_labels import HiddenLabels
from pipeline.labeling.judging import judge
from pipeline.labeling.verifier import Verified, verify
from pipeline.progress import Progress, silent
from pipeline.records import Answer, Box, Sample, Split, State, Task, TaskKind, make_box_id
from pipeline.seeds import numpy_generator
from pipeline.settings import DataSettings, SecondsSettings, SimulatedSettings

ANNOTATOR = "simulated"

_QUEUE = "simulated_queue.json"
_REVIEWS = "simulated_reviews"
_TASKS = TypeAdapter(tuple[Task, ...])
_NOTHING = Verified((), (), (), ())


@dataclass(frozen=True, slots=True)
class Ways:
    """How an annotator treats machine boxes.

    Attributes:
        accepted_iou: One that fits so well is left as it is, 0 to 1.
        seconds: What each action takes.
    """

    accepted_iou: float = 0.9
    seconds: SecondsSettings = field(default_factory=SecondsSettings)


class SimulatedAnnotator:
    """Answers as a person would who knows the true boxes and sometimes errs.

    An answer depends on the seed, the image and what was shown, never on the order of questions or the clock. It takes
    the seconds that the settings charge for each action.

    Args:
        settings: Where the hidden labels lie, and how often it errs and skips.
        data: Class names and bounds.
        ways: How it treats machine boxes.
        seed: Of the project.
        folder: Where the questions and the list of images (without boxes) are kept.
    """

    def __init__(self, settings: SimulatedSettings, data: DataSettings, ways: Ways, seed: int, folder: Folder) -> None:
        self._hidden = HiddenLabels(settings, data, folder)
        self._settings = settings
        self._labels = data.labels
        self._accepted_iou = ways.accepted_iou
        self._seconds = ways.seconds
        self._seed = seed
        self._folder = folder

    def for_reviews(self) -> SimulatedAnnotator:
        """The same annotator with a queue of its own for reviews; it errs there anew."""
        reviewer = copy(self)
        reviewer._folder = self._folder.folder(_REVIEWS)
        return reviewer

    def opening(self, now: datetime) -> ImportResult:
        """Give the images of the hidden file to a project that begins.

        Args:
            now: Creation time of the boxes that are given away, UTC.

        Returns:
            Every image as a pool sample without boxes, but for `start` that are drawn by the seed, come with their
            boxes for training and hold every class where that is possible. Images that cannot be read or whose
            hidden labels cannot be used are quarantined. Only issues about given boxes are reported.

        Raises:
            DataError: The hidden file is missing or malformed, or has a label that is not among the class names.
            RemoteError: The storage of the images cannot be reached.
        """
        found = self._hidden.everything(now)
        given = self._choose_start([sample for sample in found.samples if sample.state is State.LABELED])
        samples = tuple(
            sample
            if sample.image_id in given or sample.state is State.QUARANTINED
            else replace(sample, split=Split.POOL, state=State.POOL, boxes=(), ignore=())
            for sample in found.samples
        )
        hidden = {sample.uri for sample in samples if sample.state is State.POOL}
        reported = (issue for issue in found.issues if not (issue.uri in hidden and issue.problem.startswith("box_")))
        return ImportResult(samples, tuple(reported))

    def push(
        self,
        tasks: Sequence[Task],
        progress: Progress = silent,
        unasked: Collection[str] = (),  # noqa: ARG002
    ) -> PushResult:
        """Take questions, best first. Asking about an image again adds nothing.

        Args:
            tasks: Each with `asked_at`, the time that its answer will bear.
            progress: Called once, at the end.
            unasked: Nothing is withdrawn: this annotator has answered at the moment of asking.

        Returns:
            New, known, and refused images: those that the hidden file does not have.

        Raises:
            ValueError: A task has no `asked_at`.
        """
        timeless = [task.image_id for task in tasks if task.asked_at is None]
        if timeless:
            raise ValueError(f"Expected tasks with asked_at for the simulated annotator, {timeless[0]} has none")
        queue, images = self._queue(), self._hidden.uris()
        known = {task.image_id for task in queue}
        best_first = sorted(tasks, key=lambda task: (-task.value, task.image_id))
        new = {task.image_id: task for task in best_first if task.image_id in images and task.image_id not in known}
        if new:
            self._folder.write_bytes(_QUEUE, _TASKS.dump_json((*queue, *new.values())))
        progress("pushing tasks", len(tasks), len(tasks))
        reason = f"expected an image that {self._hidden.place} has labels for, got another"
        return PushResult(
            created=tuple(new),
            existing=tuple(task.image_id for task in best_first if task.image_id in known),
            refused={task.image_id: f"{task.uri}: {reason}" for task in tasks if task.image_id not in images},
        )

    def harvest(self, watermark: str | None = None, progress: Progress = silent) -> Harvest:
        """Answer what was asked since a watermark; everything for None.

        Args:
            watermark: Of the harvest before.
            progress: Called once, at the end.

        Returns:
            One answer per question, in the order of asking.

        Raises:
            DataError: The hidden file is missing or malformed.
            ValueError: The watermark is from another backend.
        """
        queue = self._queue()
        new = queue[_answered(watermark) :]
        answers = self.answers([task.image_id for task in new])
        progress("harvesting answers", len(new), len(new))
        return Harvest(answers, json.dumps({"answered": len(queue)}))

    def mark_disputed(self, _disputed: Collection[str], _settled: Collection[str], /) -> None:
        """Mark nothing: there is one annotator, who never disagrees with anybody."""

    def ask_again(self, _image_ids: Sequence[str], /) -> int:
        """Open nothing: there is one annotator, who never disagrees with anybody."""
        return 0

    def answers(self, image_ids: Sequence[str]) -> tuple[Answer, ...]:
        """Answer about images that were asked about.

        Raises:
            LeakError: An image was never pushed, so its boxes stay hidden.
        """
        asked = {task.image_id: task for task in self._queue()}
        leaked = [image_id for image_id in image_ids if image_id not in asked]
        if leaked:
            raise LeakError(
                f"Expected images that were pushed, got {leaked[0]} and {len(leaked) - 1} more that were not. "
                f"Hidden boxes are shown for answers alone: push the image first."
            )
        truth = self._hidden.of(image_ids)
        return tuple(self._answer(asked[image_id], truth.get(image_id)) for image_id in image_ids)

    def grade(self, boxes: Mapping[str, Sequence[Box]], iou: float) -> dict[str, tuple[int, int]]:
        """Count how many boxes are right, for the report of an experiment; nothing else leaves.

        Args:
            boxes: The machine's boxes by `image_id`.
            iou: A right box overlaps a true one of its class at least so much; each true box makes one right.

        Returns:
            (boxes, right ones) by label. Wrong boxes that lie by half in a crowd or a difficult object do not count,
            nor do those in images that the hidden file lacks or whose labels cannot be used: nobody knows the truth.
        """
        counts: Counter[str] = Counter()
        right: Counter[str] = Counter()
        for image_id, sample in self._hidden.of(boxes.keys() & self._hidden.uris().keys()).items():
            for box, is_right in judge(boxes[image_id], sample, self._labels, iou):
                counts[box.label] += 1
                right[box.label] += is_right
        return {label: (counts[label], right[label]) for label in self._labels if counts[label]}

    def count(self, image_ids: Collection[str]) -> dict[str, int]:
        """Count the true boxes of images, for the report of an experiment; nothing else leaves.

        Args:
            image_ids: Images.

        Returns:
            True boxes by label. Images that the hidden file lacks or whose labels cannot be used have none.
        """
        known = self._hidden.of(set(image_ids) & self._hidden.uris().keys())
        counts = Counter(box.label for sample in known.values() for box in sample.boxes)
        return {label: counts[label] for label in self._labels}

    def _answer(self, task: Task, truth: Sample | None) -> Answer:
        assert task.asked_at is not None, "push lets no task in without it"
        purpose = "review" if task.kind is TaskKind.REVIEW else "answer"
        generator = numpy_generator(self._seed, f"simulated {purpose}", task.image_id)
        annotation_id = f"{ANNOTATOR}-{task.image_id[:16]}{'-review' * (purpose == 'review')}"
        skipped = truth is None or generator.random() < self._settings.skip_rate
        said = _NOTHING
        if truth is not None and not skipped:
            drawn = draw(truth.boxes, task, self._labels, self._settings.error_rate, generator)
            said = self._say(drawn, task)
        answer = Answer(
            image_id=task.image_id,
            annotation_id=annotation_id,
            annotator=ANNOTATOR,
            skipped=skipped,
            boxes=tuple(_signed(box, task.image_id, annotation_id, task.asked_at) for box in said.boxes),
            created_at=task.asked_at,
            updated_at=task.asked_at,
            notes=() if truth is not None else ("the hidden labels of this image cannot be used",),
            ignore=() if truth is None or skipped else (*truth.ignore, *said.ignore),
            cycle=task.cycle,
            verified=task.kind is TaskKind.VERIFY,
            verdicts=said.verdicts,
            deleted=said.deleted,
        )
        return replace(answer, lead_time_s=seconds_of(answer, self._seconds))

    def _say(self, drawn: Sequence[Box], task: Task) -> Verified:
        if task.kind is TaskKind.VERIFY:
            return verify(drawn, task, self._accepted_iou)
        return Verified(
            boxes=tuple(claim(drawn, task.boxes, self._accepted_iou)),
            ignore=(),
            verdicts=verdicts(drawn, task.boxes, self._accepted_iou),
            deleted=deleted(drawn, task.boxes, self._accepted_iou),
        )

    def _choose_start(self, samples: Sequence[Sample]) -> set[str]:
        order = numpy_generator(self._seed, "simulated start").permutation(len(samples))
        shuffled = [samples[place] for place in order]
        spread = Counter(label for sample in samples for label in _labels(sample))
        chosen: dict[str, Sample] = {}
        for label in sorted(spread, key=lambda label: (spread[label], label)):
            if not any(label in _labels(sample) for sample in chosen.values()):
                first = next(sample for sample in shuffled if label in _labels(sample))
                chosen[first.image_id] = first
        for sample in shuffled:
            chosen.setdefault(sample.image_id, sample)
        return set(list(chosen)[: self._settings.start])

    def _queue(self) -> tuple[Task, ...]:
        return _TASKS.validate_json(self._folder.read_bytes(_QUEUE)) if self._folder.exists(_QUEUE) else ()


def _labels(sample: Sample) -> set[str]:
    return {box.label for box in sample.boxes}


def _signed(box: Box, image_id: str, annotation_id: str, asked_at: datetime) -> Box:
    return replace(
        box,
        box_id=make_box_id(image_id, box.label, box.xyxy, annotation_id),
        annotation_id=annotation_id,
        annotator=ANNOTATOR,
        created_at=asked_at,
    )


def _answered(watermark: str | None) -> int:
    if not watermark:
        return 0
    try:
        return int(json.loads(watermark)["answered"])
    except (ValueError, KeyError, TypeError) as fault:
        raise ValueError(
            f"Expected the watermark of a simulated harvest, got {watermark[:80]!r}. Harvest once without."
        ) from fault
