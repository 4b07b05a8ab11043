"""What comes back: a task's annotations as answers, with everything odd about them in words.

Nothing here raises for what a person did, and nothing is dropped without a note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from pipeline.labeling.feedback.agreement import begun_as, sources_of
from pipeline.labeling.label_studio.page import NOTE
from pipeline.labeling.label_studio.payload import REGION, SAID
from pipeline.labeling.rectangles import read_rectangle
from pipeline.records import Answer, Box, Region, Source, make_box_id

Note = tuple[str, str]
Json = Mapping[str, Any]

_ORIGINS = {"prediction": Source.ACCEPTED, "prediction-changed": Source.CORRECTED}


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
    people: Mapping[int, str]
    tasks_at: str = ""

    def read(self, task: Json) -> list[Reading] | Note:
        """Read all annotations of one task.

        Args:
            task: As the server states it, with `data`, `predictions` and `annotations`.

        Returns:
            One reading per annotation; or, for a task that is not ours, a note (task, problem).
        """
        image = _Image.of(task)
        if image is None:
            missing = "expected image_id, width and height in its data: was it made by hand? Its answers are left out"
            return (f"task {task.get('id')}", missing)
        shown = _shown_boxes(task, image)
        link = f"{self.tasks_at}{task.get('id')}" if self.tasks_at else ""
        readings = (self._reading(annotation, image, shown) for annotation in task.get("annotations") or [])
        return [replace(reading, answer=replace(reading.answer, link=link)) for reading in readings]

    def _reading(self, annotation: Json, image: _Image, shown: Mapping[str, Box]) -> Reading:
        skipped = bool(annotation.get("was_cancelled"))
        drawing = _Drawing(image, str(annotation["id"]))
        for region in [] if skipped else annotation.get("result") or []:
            drawing.add(region, self.labels)
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
            verdicts=() if skipped else _verdicts(drawing, sources, shown),
            deleted=() if skipped else _deleted(drawing, shown),
        )
        problems = (f"annotation {answer.annotation_id}, {problem}" for problem in drawing.problems)
        return Reading(answer, tuple((image.image_id, problem) for problem in problems))

    def _sources(self, drawing: _Drawing, shown: Mapping[str, Box]) -> list[Source]:
        begun = [place for place, region in enumerate(drawing.regions) if _name(region) in shown]
        # Without its prediction on the task, the page's own word is all there is about where a box began.
        sources = [_ORIGINS.get(str(region.get("origin")), Source.HUMAN) for region in drawing.regions]
        pairs = [(drawing.boxes[place], shown[_name(drawing.regions[place])]) for place in begun]
        judged = sources_of([drawn for drawn, _ in pairs], [machine for _, machine in pairs], self.accepted_iou)
        for place, source in zip(begun, judged, strict=True):
            sources[place] = source
        return sources

    def _annotator(self, person: Any) -> str:
        if isinstance(person, Mapping):
            return str(person.get("email") or f"user {person.get('id')}")
        return self.people.get(person) or f"user {person}"


@dataclass(frozen=True, slots=True)
class _Image:
    image_id: str
    width: int
    height: int
    cycle: int | None
    model_id: str | None
    proposals: Mapping[str, Json]

    @classmethod
    def of(cls, task: Json) -> _Image | None:
        data = task.get("data") or {}
        image_id, width, height = (data.get(name) for name in ("image_id", "width", "height"))
        if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
            return None
        if not (isinstance(image_id, str) and image_id):
            return None
        cycle, model_id, stated = (data.get(name) for name in ("cycle", "model_id", "proposals"))
        return cls(
            image_id,
            width,
            height,
            cycle if isinstance(cycle, int) else None,
            model_id if isinstance(model_id, str) and model_id else None,
            stated if isinstance(stated, Mapping) else {},
        )

    def proposed(self, name: str, box: Box) -> Box:
        """The machine's box of a region; tasks of earlier releases do not keep what it said of it."""
        said = self.proposals.get(name)
        stated = said if isinstance(said, Mapping) else {}
        values: dict[str, Any] = {
            field: stated[field] for field, kind in SAID.items() if isinstance(stated.get(field), kind)
        }
        return replace(box, box_id=name, source=Source.PSEUDO, annotation_id=None, model_id=self.model_id, **values)


class _Drawing:
    """The regions of one annotation, as they are read."""

    def __init__(self, image: _Image, annotation_id: str) -> None:
        self.annotation_id = annotation_id
        self.boxes: list[Box] = []
        self.regions: list[Json] = []
        self.ignore: list[Region] = []
        self.repairs: list[str] = []
        self.problems: list[str] = []
        self._image = image

    def with_origins(self, shown: Mapping[str, Box]) -> list[Box]:
        """The boxes, those that began as one of the machine's with what it said of it."""
        began = [shown.get(_name(region)) for region in self.regions]
        return [begun_as(box, machine) if machine else box for box, machine in zip(self.boxes, began, strict=True)]

    def add(self, region: Json, labels: frozenset[str]) -> None:
        if region.get("from_name") == NOTE:
            return  # what the page says of an unsure box, not what the person says
        name = f"region {_name(region)}"
        if region.get("type") != REGION or not isinstance(region.get("value"), Mapping):
            self.problems.append(f"{name}: expected a labeled rectangle, got {region.get('type')!r}; left out")
            return
        box, notes = _box(region, self._image, self.annotation_id)
        if box is None:
            self.problems += [f"{name}: {note}; left out" for note in notes]
            return
        self.repairs += [f"{name}: {note}" for note in notes]
        if box.label not in labels:
            # An object that the page shows and the class list lacks must not be learnt as background.
            self.ignore.append(Region(*box.xyxy, reason="unknown_label"))
            self.problems.append(
                f"{name}: expected one of {sorted(labels)}, got {box.label!r}; kept as ignored region. Where "
                f"a label was renamed, make data.labels and the project agree, then run `crosscheck harvest --full`"
            )
        elif any(box.box_id == other.box_id for other in self.boxes):
            self.repairs.append(f"{name}: the same box a second time; left out")
        else:
            self.boxes.append(box)
            self.regions.append(region)


def _deleted(drawing: _Drawing, shown: Mapping[str, Box]) -> tuple[Box, ...]:
    kept = {_name(region) for region in drawing.regions}
    return tuple(box for name, box in shown.items() if name not in kept)


def _verdicts(drawing: _Drawing, sources: Sequence[Source], shown: Mapping[str, Box]) -> tuple[tuple[str, str], ...]:
    kept = {_name(region): str(source) for region, source in zip(drawing.regions, sources, strict=True)}
    return tuple((box.label, kept.get(name, "deleted")) for name, box in shown.items())


def _name(region: Json) -> str:
    return str(region.get("id"))


def _box(region: Json, image: _Image, origin: str) -> tuple[Box | None, list[str]]:
    value = region["value"]
    reading = read_rectangle(value, image.width, image.height, region.get("image_rotation") or 0)
    notes = list(reading.notes)
    drawn_on = (region.get("original_width"), region.get("original_height"))
    if drawn_on not in {(None, None), (image.width, image.height)}:
        notes.append(
            f"expected an image of {image.width} x {image.height}, drawn on {drawn_on[0]} x {drawn_on[1]}; "
            f"read by percent. Was the file replaced?"
        )
    if reading.corners is None:
        return None, notes
    names = value.get(REGION)
    label = "+".join(map(str, names)) if isinstance(names, list) else ""
    x1, y1, x2, y2 = np.asarray(reading.corners, dtype=np.float32).tolist()
    return Box(
        make_box_id(image.image_id, label, (x1, y1, x2, y2), origin),
        x1,
        y1,
        x2,
        y2,
        label,
        Source.HUMAN,
        annotation_id=origin,
    ), notes


def _shown_boxes(task: Json, image: _Image) -> dict[str, Box]:
    """The machine's boxes by region id."""
    shown = {}
    for prediction in task.get("predictions") or []:
        for region in prediction.get("result") or []:
            box = _box(region, image, "")[0] if region.get("type") == REGION else None
            if box is not None:
                shown[_name(region)] = image.proposed(_name(region), box)
    return shown
