"""Verification of the machine's boxes one after another: the keys of its page, and what an annotation says by them.

One key per box: the page's own key for the next region is the key of `looked at` too, so that one stroke selects a box
and marks it. A box is right where it was looked at and no fault is named. Only tasks that verify have these choices,
since the page reads them off the task's data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as Xml

from pipeline.records import ANOTHER_CLASS, INEXACT, UNANSWERED

Json = Mapping[str, Any]

SEEN, FAULT, WHOLE = "seen", "fault", "whole"
LOOKED_AT, WRONG, COMPLETE = "looked at", "wrong", "nothing is missing"
_REASONS = {"inexact": INEXACT, "another class": ANOTHER_CLASS}
CONTROLS: Mapping[str, Mapping[str, str]] = {
    WHOLE: {COMPLETE: "n", "something is missing": "m"},
    SEEN: {LOOKED_AT: "alt+."},
    FAULT: {WRONG: "x", "inexact": "i", "another class": "c"},
}
"""Choices and their keys by control; the first is about the image, the others about the selected box. The first is
always there, so that the image does not move when a box is selected."""

_ROW, _ROW_STYLE = "crosscheck-verify", "display: flex; gap: 24px; flex-wrap: wrap; align-items: center"
STYLE = f"""
.{_ROW}:not(:has(.lsf-choice)), .{_ROW}:not(:has(.lsf-choices_hidden)) h4 {{ display: none !important; }}
"""
"""Hides the row where nothing is verified, and what it says of the first key while a box is selected."""


def add_controls(view: Xml.Element, image: str) -> None:
    """Put the choices on the page, each read off the field of the task's data that `questions` gives it."""
    row = Xml.SubElement(view, "View", className=_ROW, style=_ROW_STYLE)
    for name in CONTROLS:
        region = {} if name == WHOLE else {"perRegion": "true"}
        choices = {"name": name, "toName": image, "value": f"${_field(name)}", "choice": "single", "showInline": "true"}
        Xml.SubElement(row, "Choices", {**choices, **region})
    Xml.SubElement(row, "Header", value="Alt+. shows each box in turn", size="6")


def questions(verify: bool) -> dict[str, list[dict[str, str]]]:
    """What the page asks beside the boxes, for the data of a task; nothing where they are not verified."""
    return {
        _field(name): [{"value": value, "hotkey": key} for value, key in choices.items()] if verify else []
        for name, choices in CONTROLS.items()
    }


def is_verified(data: Json) -> bool:
    """Whether a task asks to verify; its kind may have changed since somebody opened it."""
    return bool(data.get(_field(SEEN)))


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an annotation says beside its boxes.

    Attributes:
        seen: Regions that were looked at.
        faults: What is wrong with regions.
        complete: Whether nothing is missing beside the boxes.
    """

    seen: frozenset[str]
    faults: Mapping[str, str]
    complete: bool

    @classmethod
    def of(cls, result: Iterable[Json]) -> Spoken:
        """Read the choices of an annotation; of another's making they are passed over."""
        said = [(str(item.get("from_name")), str(item.get("id")), _chosen(item)) for item in result]
        return cls(
            frozenset(region for control, region, choice in said if control == SEEN and choice == LOOKED_AT),
            {region: choice for control, region, choice in said if control == FAULT and choice},
            any(control == WHOLE and choice == COMPLETE for control, _, choice in said),
        )

    def rejects(self, region: str) -> bool:
        """Whether there is no object in a region."""
        return self.faults.get(region) == WRONG

    def left_open(self, region: str, changed: bool) -> str | None:
        """Why one of the machine's boxes is neither right nor wrong; None where it is right.

        Args:
            region: The box.
            changed: Whether the person moved it or gave it another class, which answers whatever else is said of it.
        """
        if changed:
            return None
        return _REASONS.get(self.faults.get(region, "")) or (None if region in self.seen else UNANSWERED)


def _field(control: str) -> str:
    return f"verify_{control}"


def _chosen(item: Json) -> str:
    value = item.get("value")
    choices = value.get("choices") if isinstance(value, Mapping) else None
    return str(choices[0]) if isinstance(choices, list) and choices else ""
