"""What stands on a task: its image, the machine's boxes that were shown, and the regions that a person submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.labeling.feedback.agreement import begun_as
from pipeline.labeling.label_studio.page import NOTE
from pipeline.labeling.label_studio.payload import REGION, SAID
from pipeline.labeling.label_studio.verification import CONTROLS, Spoken, is_verified
from pipeline.labeling.rectangles import read_rectangle
from pipeline.records import UNANSWERED, Box, Region, Source, make_box_id

Json = Mapping[str, Any]

_UNMOVED_PX = 0.05
"""A box whose corners are where they were to so much was not moved."""


@dataclass(frozen=True, slots=True)
class AskedImage:
    """The image of a task, and what the task keeps of the machine's boxes.

    Attributes:
        image_id: The image.
        width, height: Pixels.
        cycle: That asked; None where the task does not say.
        model_id: That drew the boxes; None where the task does not say.
        proposals: What the machine said of each box, by region.
        is_verified: Whether boxes are verified one after another.
    """

    image_id: str
    width: int
    height: int
    cycle: int | None
    model_id: str | None
    proposals: Mapping[str, Json]
    is_verified: bool

    @classmethod
    def of(cls, task: Json) -> AskedImage | None:
        """Read a task; None for one that is not ours."""
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
            is_verified(data),
        )

    def proposed(self, name: str, box: Box) -> Box:
        """The machine's box of a region; tasks of earlier releases do not keep what it said of it."""
        said = self.proposals.get(name)
        stated = said if isinstance(said, Mapping) else {}
        values: dict[str, Any] = {
            field: stated[field] for field, kind in SAID.items() if isinstance(stated.get(field), kind)
        }
        return replace(box, box_id=name, source=Source.PSEUDO, annotation_id=None, model_id=self.model_id, **values)


class Drawing:
    """The regions of one annotation, as they are read.

    Attributes:
        boxes: What counts, in the order of `regions`.
        regions: As the server states them.
        ignore: What must not be learnt as background.
        open: Regions of the machine's boxes that are neither right nor wrong, and why.
        repairs: What was repaired or is not known, in words.
        problems: What could not be read, in words.
    """

    def __init__(self, image: AskedImage, annotation_id: str, repairs: Sequence[str] = ()) -> None:
        self.annotation_id = annotation_id
        self.boxes: list[Box] = []
        self.regions: list[Json] = []
        self.ignore: list[Region] = []
        self.open: dict[str, str] = {}
        self.repairs: list[str] = list(repairs)
        self.problems: list[str] = []
        self._image = image

    def with_origins(self, shown: Mapping[str, Box]) -> list[Box]:
        """The boxes, those that began as one of the machine's with what it said of it."""
        began = [shown.get(region_name(region)) for region in self.regions]
        return [begun_as(box, machine) if machine else box for box, machine in zip(self.boxes, began, strict=True)]

    def add(self, region: Json, labels: frozenset[str]) -> None:
        """Read a region."""
        if region.get("from_name") == NOTE:
            return  # what the page says of an unsure box, not what the person says
        if region.get("from_name") in CONTROLS and region.get("type") == "choices":
            return  # said of a box that is read by its rectangle, see `take_in`
        name = f"region {region_name(region)}"
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

    def take_in(self, said: Spoken, shown: Mapping[str, Box]) -> None:
        """Keep the boxes that were found right, and ignore what a verification left open; never as background."""
        pairs, whole = list(zip(self.boxes, self.regions, strict=True)), self._image
        self.boxes, self.regions = [], []
        for box, region in pairs:
            name = region_name(region)
            machine = shown.get(name)
            if said.rejects(name):
                continue
            reason = said.left_open(name, _is_changed(box, machine, region)) if _is_machines(region, machine) else None
            if reason is None:
                self.boxes.append(box)
                self.regions.append(region)
            else:
                self.open[name] = reason
                self.ignore.append(Region(*box.xyxy, reason))
        if not said.complete:
            self.ignore.append(Region(0.0, 0.0, float(whole.width), float(whole.height), UNANSWERED))

    def deleted(self, shown: Mapping[str, Box]) -> tuple[Box, ...]:
        """Machine boxes that the person deleted or found wrong."""
        kept = {*map(region_name, self.regions), *self.open}
        return tuple(box for name, box in shown.items() if name not in kept)

    def verdicts(self, sources: Sequence[Source], shown: Mapping[str, Box]) -> tuple[tuple[str, str], ...]:
        """What became of each of the machine's boxes, see `Answer.verdicts`."""
        kept = {region_name(region): str(source) for region, source in zip(self.regions, sources, strict=True)}
        kept |= dict.fromkeys(self.open, str(Source.CORRECTED))
        return tuple(
            (box.label, kept.get(name, "deleted")) for name, box in shown.items() if self.open.get(name) != UNANSWERED
        )


def region_name(region: Json) -> str:
    """What tells a region from others on its task."""
    return str(region.get("id"))


def _is_machines(region: Json, machine: Box | None) -> bool:
    """Whether a region began as a box of the machine, which may be gone since."""
    return machine is not None or str(region.get("origin")).startswith("prediction")


def _is_changed(box: Box, machine: Box | None, region: Json) -> bool:
    if machine is None:
        return bool(region.get("origin") == "prediction-changed")
    return box.label != machine.label or not np.allclose(box.xyxy, machine.xyxy, atol=_UNMOVED_PX)


def _box(region: Json, image: AskedImage, origin: str) -> tuple[Box | None, list[str]]:
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


def shown_boxes(task: Json, image: AskedImage) -> dict[str, Box]:
    """The machine's boxes by region id."""
    shown = {}
    for prediction in task.get("predictions") or []:
        for region in prediction.get("result") or []:
            box = _box(region, image, "")[0] if region.get("type") == REGION else None
            if box is not None:
                shown[region_name(region)] = image.proposed(region_name(region), box)
    return shown
