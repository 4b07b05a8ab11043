"""What comes back: a task's annotations as answers, with everything odd about them in words.

Nothing here raises for what a person did, and nothing is dropped without a note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.labeling.feedback.agreement import sources_of
from pipeline.labeling.label_studio.drawing import AskedImage, Drawing, region_name, shown_boxes
from pipeline.labeling.label_studio.verification import CONTROLS, Spoken
from pipeline.records import Answer, Box, Source

Note = tuple[str, str]
Json = Mapping[str, Any]

_ORIGINS = {"prediction": Source.ACCEPTED, "prediction-changed": Source.CORRECTED}
_RENEWED = "the machine's boxes were renewed while somebody had them open: what became of them is not counted"


@dataclass(frozen=True, slots=True)
class Reading:
    """One annotation as an answer.

    Attributes:
        answer: What the person said.
        notes: What could not be read: (image id, problem).
    """

    answer: Answer
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads annotations.

    Attributes:
        labels: Class names that count.
        accepted_iou: A machine box changed less than this counts as accepted.
        people: E-mail addresses of users by id.
        tasks_at: What the address of a task is, up to its number; empty: answers have no link.
    """

    labels: frozenset[str]
    accepted_iou: float
    people: Mapping[int, str] = field(default_factory=dict)
    tasks_at: str = ""

    def read(self, task: Json) -> list[Reading] | Note:
        """Read all annotations of one task.

        Args:
            task: As the server states it, with `data`, `predictions` and `annotations`.

        Returns:
            One reading per annotation; or, for a task that is not ours, a note (task, problem).
        """
        image = AskedImage.of(task)
        if image is None:
            missing = "expected image_id, width and height in its data: was it made by hand? Its answers are left out"
            return (f"task {task.get('id')}", missing)
        shown, predictions = shown_boxes(task, image), task.get("predictions") or []
        link = f"{self.tasks_at}{task.get('id')}" if self.tasks_at else ""
        readings = (
            self._reading(annotation, image, None if _was_renewed_under(annotation, predictions) else shown)
            for annotation in task.get("annotations") or []
        )
        return [replace(reading, answer=replace(reading.answer, link=link)) for reading in readings]

    def _reading(self, annotation: Json, image: AskedImage, seen: Mapping[str, Box] | None) -> Reading:
        """Read one annotation; the boxes that its person saw are None where they are gone."""
        skipped, shown = bool(annotation.get("was_cancelled")), seen or {}
        drawing = Drawing(image, str(annotation["id"]), [_RENEWED] if seen is None and not skipped else [])
        result = [] if skipped else annotation.get("result") or []
        for region in result:
            drawing.add(region, self.labels)
        verified = image.is_verified or (seen is None and any(region.get("from_name") in CONTROLS for region in result))
        if verified and not skipped:
            drawing.take_in(Spoken.of(result), shown)
        created = datetime.fromisoformat(annotation["created_at"])
        annotator = self._annotator(annotation.get("completed_by"))
        sources = self._sources(drawing, shown)
        boxes = [
            replace(box, source=source, annotator=annotator, created_at=created)
            for box, source in zip(drawing.with_origins(shown), sources, strict=True)
        ]
        answer = Answer(
            image_id=image.image_id,
            annotation_id=drawing.annotation_id,
            annotator=annotator,
            skipped=skipped,
            boxes=tuple(boxes),
            created_at=created,
            updated_at=datetime.fromisoformat(annotation["updated_at"]),
            lead_time_s=annotation.get("lead_time"),
            notes=tuple(drawing.repairs),
            ignore=tuple(drawing.ignore),
            cycle=image.cycle,
            verified=verified,
            verdicts=() if skipped else drawing.verdicts(sources, shown),
            deleted=() if skipped else drawing.deleted(shown),
        )
        problems = (f"annotation {answer.annotation_id}, {problem}" for problem in drawing.problems)
        return Reading(answer, tuple((image.image_id, problem) for problem in problems))

    def _sources(self, drawing: Drawing, shown: Mapping[str, Box]) -> list[Source]:
        begun = [place for place, region in enumerate(drawing.regions) if region_name(region) in shown]
        # Without its prediction on the task, the page's own word is all there is about where a box began.
        sources = [_ORIGINS.get(str(region.get("origin")), Source.HUMAN) for region in drawing.regions]
        pairs = [(drawing.boxes[place], shown[region_name(drawing.regions[place])]) for place in begun]
        judged = sources_of([drawn for drawn, _ in pairs], [machine for _, machine in pairs], self.accepted_iou)
        for place, source in zip(begun, judged, strict=True):
            sources[place] = source
        return sources

    def _annotator(self, person: Any) -> str:
        if isinstance(person, Mapping):
            return str(person.get("email") or f"user {person.get('id')}")
        return self.people.get(person) or f"user {person}"


def _was_renewed_under(annotation: Json, predictions: Sequence[Json]) -> bool:
    """Whether a task got other boxes after somebody had opened it and before that person submitted.

    Regions tell it that began as a box which is not there now, and otherwise the time at which the person began.
    """
    if not predictions:
        return False
    there = {region_name(region) for prediction in predictions for region in prediction.get("result") or []}
    began_as = [region_name(region) for region in annotation.get("result") or [] if region.get("origin") in _ORIGINS]
    if began_as and there.isdisjoint(began_as):
        return True
    submitted = datetime.fromisoformat(annotation["created_at"])
    began = submitted - timedelta(seconds=annotation.get("lead_time") or 0.0)
    return any(_is_between(began, prediction) for prediction in predictions)


def _is_between(moment: datetime, prediction: Json) -> bool:
    """Whether a prediction was changed after a moment, and was there before."""
    made, changed = (prediction.get(name) for name in ("created_at", "updated_at"))
    if not (isinstance(made, str) and isinstance(changed, str)):
        return False
    return datetime.fromisoformat(made) <= moment < datetime.fromisoformat(changed)
