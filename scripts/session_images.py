"""Generated images with known objects and machine boxes at known faults, for `scripts/annotation_session.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.dataset.demo import DEMO_LABELS
from pipeline.dataset.demo.scene import draw_scene
from pipeline.records import Box, Source, make_box_id


@dataclass(frozen=True)
class Shown:
    """A machine box, and the object that it is meant for; None for nothing."""

    box: Box
    true: Box | None

    @property
    def fault(self) -> str:
        """`wrong`, `another class`, `inexact`, or nothing."""
        if self.true is None:
            return "wrong"
        if self.box.label != self.true.label:
            return "another class"
        return "" if self.box.xyxy == self.true.xyxy else "inexact"


@dataclass(frozen=True)
class Case:
    """An image, its objects and the machine's boxes on it."""

    uri: str
    true: Sequence[Box]
    shown: Sequence[Shown]


def make_cases(folder: Path, count: int, seed: int = 0) -> list[Case]:
    """Generate images whose every object has a machine box: most right, some at fault, and some boxes of nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    cases: list[Case] = []
    scene_seed = seed
    while len(cases) < count:
        scene_seed += 1
        scene = draw_scene(0.3, np.random.default_rng(scene_seed))
        true = [_box(part.box, part.label) for part in scene.parts]
        if not 3 <= len(true) <= 8 or _overlap(true):
            continue
        uri = folder / f"{scene_seed:03d}.png"
        Image.fromarray(scene.pixels).save(uri)
        height, width = scene.pixels.shape[:2]
        cases.append(Case(str(uri), true, _machine(true, (width, height), np.random.default_rng(scene_seed))))
    return cases


def _machine(true: Sequence[Box], size: tuple[int, int], rng: np.random.Generator) -> list[Shown]:
    """A box for each object: 8 in 10 right, 1 inexact, 1 of another class; and one of nothing in every second image."""
    shown = []
    for box in true:
        chance = rng.random()
        others = [label for label in DEMO_LABELS if label != box.label]
        if chance < 0.8:
            shown.append(Shown(box, box))
        elif chance < 0.9:
            shown.append(Shown(_aside(box, size), box))
        else:
            shown.append(Shown(_box(box.xyxy, others[int(rng.integers(len(others)))]), box))
    nothing = _free_place(true, size, rng) if rng.random() < 0.5 else None
    return [*shown, *([Shown(nothing, None)] if nothing else [])]


def _aside(box: Box, size: tuple[int, int]) -> Box:
    dx = (box.x2 - box.x1) * 0.2 * (1 if box.x2 + (box.x2 - box.x1) * 0.2 < size[0] else -1)
    return _box((box.x1 + dx, box.y1, box.x2 + dx, box.y2), box.label)


def _free_place(true: Sequence[Box], size: tuple[int, int], rng: np.random.Generator) -> Box | None:
    for _ in range(100):
        x, y = (float(rng.integers(0, side - 44)) for side in size)
        if all(box.x2 + 8 < x or x + 48 < box.x1 or box.y2 + 8 < y or y + 48 < box.y1 for box in true):
            return _box((x, y, x + 40, y + 40), DEMO_LABELS[int(rng.integers(len(DEMO_LABELS)))])
    return None


def _overlap(boxes: Sequence[Box]) -> bool:
    """Whether two boxes touch or nearly do: a drag that begins on a box moves it, and a click would not tell them."""
    return any(
        one.x1 - 9 < two.x2 and two.x1 - 9 < one.x2 and one.y1 - 9 < two.y2 and two.y1 - 9 < one.y2
        for one, two in combinations(boxes, 2)
    )


def _box(corners: tuple[float, float, float, float], label: str) -> Box:
    x1, y1, x2, y2 = map(float, corners)
    return Box(make_box_id("image", label, corners, "machine"), x1, y1, x2, y2, label, Source.PSEUDO)
