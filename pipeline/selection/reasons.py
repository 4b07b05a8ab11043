"""Why an image is asked about and why a box is unsure, in words for a person who draws."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.records import TaskKind, of_images
from pipeline.selection.missed_objects import MissedObjectsModel
from pipeline.selection.showing import ShownBox, is_hidden, is_shown, shown_boxes

DRAW_ALL = "please draw every object"
"""Of a task without boxes: anything more would tell what the machine thinks."""

_MOST_PIECES = 2
_MAIN_SHARE = 0.6
"""A class or a part of the image that holds so much of what is missed is named."""
_SEEN_FROM = 0.2
"""A class of which nobody has drawn a box is named from this p(correct)."""
_ROWS, _COLUMNS = ("upper", "", "lower"), ("left", "", "right")


@dataclass(frozen=True)
class Context:
    """What is known beside the proposals.

    Attributes:
        missed: What no proposal finds; None: nothing is.
        sizes: Width and height by image, pixels; of an image that is not there no place is named.
        drawn: Boxes of people in training images, by class.
    """

    missed: MissedObjectsModel | None = None
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    drawn: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Missed:
    """Objects of one image that no shown box covers: how many of each class, and how many in each part."""

    labels: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> float:
        return sum(self.labels.values())


def reasons(
    selection: pa.Table, image_ids: Collection[str], shown_from: float | None, context: Context
) -> dict[str, str]:
    """Say of each image why a person sees it, the most telling thing first.

    Args:
        selection: Columns of `SELECTION_SCHEMA`.
        image_ids: Images that are shown with their boxes.
        shown_from: As of `showing.is_shown`.
        context: What is known beside.

    Returns:
        A short line by image.
    """
    asked = selection.filter(of_images(image_ids))
    boxes, missed = shown_boxes(asked, shown_from), _missed(asked, list(image_ids), shown_from, context)
    first = _new_classes(asked, {label for label, count in context.drawn.items() if not count})
    return {
        image_id: _reason(boxes.get(image_id, []), missed[image_id], first.get(image_id, "")) for image_id in image_ids
    }


def reason_of(kind: TaskKind, boxes: int, why: str) -> str:
    """The line on top of a task; of a verification it begins with what there is to do."""
    return f"{boxes} box{'es' * (boxes != 1)} to verify; {why}" if kind is TaskKind.VERIFY else why


def in_words(box: ShownBox) -> str:
    """Say of an unsure box what may be wrong with it."""
    if box.rival:
        return f"perhaps {with_article(box.rival)}"
    if box.duplicate:
        return "perhaps a duplicate"
    again = _found_again(box.row)
    if again and float(box.row["hit_fraction"]) < 1.0:
        return again
    return (
        f"perhaps not {with_article(box.row['label'])}" if box.row["p_correct"] < 0.5 else "perhaps not quite in place"
    )


def _reason(boxes: list[ShownBox], missed: _Missed, first: str) -> str:
    if not boxes:
        if round(missed.total) < 1:
            return "nothing found here: is there anything?"
        return f"no box shown, about {_objects(missed)} to draw{_place(missed)}"
    gaps = [(missed.total, f"{_objects(missed)} may be missed{_place(missed)}")] if round(missed.total) >= 1 else []
    pieces = [*gaps, (sum(box.doubt for box in boxes), _question(boxes[0]))]
    ranked = [text for _, text in sorted(pieces, key=lambda piece: -piece[0])]
    return "; ".join([*([f"perhaps the first {first}"] if first else []), *ranked][:_MOST_PIECES])


def _question(box: ShownBox) -> str:
    label = str(box.row["label"])
    if box.duplicate and not box.rival:
        return f"one {label} or two?"
    asked = f"{label} or {box.rival}?" if box.rival else f"really {with_article(label)}?"
    again = _found_again(box.row, f" as {label}" if box.rival else "")
    return f"{asked} {again}".strip()


def _found_again(row: Mapping[str, Any], named: str = "") -> str:
    checks = row["checks"] or 0
    if not checks:
        return ""
    found = round(float(row["hit_fraction"]) * checks)
    return f"found again{named} in {found} of {checks} image{'s' * (checks != 1)}"


def _missed(asked: pa.Table, image_ids: list[str], shown_from: float | None, context: Context) -> dict[str, _Missed]:
    missed: dict[str, _Missed] = defaultdict(_Missed)
    hidden = asked.filter(pa.array(is_hidden(asked, is_shown(asked, shown_from))))
    for row in hidden.select(["image_id", "label", "p_correct", "x1", "y1", "x2", "y2"]).to_pylist():
        own = missed[row["image_id"]]
        own.labels[row["label"]] += row["p_correct"]
        if row["image_id"] in context.sizes:
            xyxy = (row["x1"], row["y1"], row["x2"], row["y2"])
            own.parts[part_of(xyxy, context.sizes[row["image_id"]])] += row["p_correct"]
    if context.missed is not None:
        p_correct = asked["p_correct"].to_numpy().astype(np.float64)
        unseen = context.missed.predict(asked, p_correct, image_ids)
        for image_id, counts in zip(image_ids, unseen.tolist(), strict=True):
            missed[image_id].labels.update(dict(zip(context.missed.labels, counts, strict=True)))
    return missed


def _new_classes(asked: pa.Table, new: Collection[str]) -> dict[str, str]:
    """By image, the likeliest class that nobody has drawn yet."""
    rows = asked.select(["image_id", "label", "p_correct"]).sort_by("p_correct").to_pylist() if new else []
    return {row["image_id"]: row["label"] for row in rows if row["label"] in new and row["p_correct"] >= _SEEN_FROM}


def part_of(xyxy: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    """The ninth of the image that holds the centre of a box."""
    column, line = (
        min(2, int(1.5 * (low + high) / max(1, length)))
        for low, high, length in zip(xyxy[:2], xyxy[2:], size, strict=True)
    )
    return " ".join(filter(None, [_ROWS[line], _COLUMNS[column]])) or "centre"


def _place(missed: _Missed) -> str:
    part, count = max(missed.parts.items(), key=lambda item: item[1], default=("", 0.0))
    return f", {part}" if count > 0 and count >= _MAIN_SHARE * missed.total else ""


def _objects(missed: _Missed) -> str:
    """`3 nuts`, or objects where no class holds most of them."""
    count = round(missed.total)
    label, share = max(missed.labels.items(), key=lambda item: item[1])
    noun = label if share >= _MAIN_SHARE * missed.total else "object"
    return f"{count} {noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """`nuts`, `boxes`."""
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def with_article(label: str) -> str:
    """`a nut`, `an axle`."""
    return f"{'an' if label[:1].lower() in set('aeiou') else 'a'} {label}"
