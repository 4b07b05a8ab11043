"""The demo set on disk: images in four folders, COCO files beside them, and a note of how it was made.

- `labeled/` and `labeled.json`: what people have labeled before the first cycle
- `pool/` and `hidden.json`: the unlabeled pool and its true boxes, for the simulated annotator alone
- `val/` and `val.json`, `test/` and `test.json`
- `demo.json`: parameters, and, once all is written, a digest of all files
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.dataset.demo.camera import compress
from pipeline.dataset.demo.catalog import PARTS
from pipeline.dataset.demo.pile import Corners, Part
from pipeline.dataset.demo.scene import HEIGHT, WIDTH, draw_scene
from pipeline.dataset.formats.coco_file import Beside
from pipeline.dataset.formats.coco_masks import runs_of
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.progress import Progress, silent

DEMO_LABELS = tuple(kind.label for kind in PARTS)
"""Class names, most common first."""

Portion = Literal["labeled", "pool", "val", "test"]
"""A part of the set; each has a folder of this name."""

_ANNOTATIONS: dict[Portion, str] = {
    "labeled": "labeled.json",
    "pool": "hidden.json",
    "val": "val.json",
    "test": "test.json",
}
_NOTE = "demo.json"
_IMAGE = re.compile(r"part_\d{5}\.jpg")
_RECIPE = 1
"""Raised with every change that draws other images from the same seed."""


@dataclass(frozen=True, slots=True)
class DemoCounts:
    """How many images each portion has.

    Raises:
        ValueError: A count is below 0.
    """

    labeled: int = 24
    pool: int = 240
    val: int = 40
    test: int = 80

    def __post_init__(self) -> None:
        for portion, count in asdict(self).items():
            if count < 0:
                raise ValueError(f"Expected {portion} to be 0 or more images, got {count}")

    @property
    def total(self) -> int:
        """Images in all."""
        return self.labeled + self.pool + self.val + self.test


@dataclass(frozen=True, slots=True)
class DemoSet:
    """A finished set.

    Attributes:
        folder: Where it lies.
        counts: Images a portion.
        digest: SHA-256 of all names and bytes; equal for equal sets.
    """

    folder: Folder
    counts: DemoCounts
    digest: str

    def images(self, portion: Portion) -> str:
        """Folder that holds the images of a portion."""
        return self.folder.path(portion)

    def annotations(self, portion: Portion) -> str:
        """COCO file of a portion; that of the pool is for the simulated annotator alone."""
        return self.folder.path(_ANNOTATIONS[portion])


def generate_demo(
    folder: Folder | str | Path,
    seed: int = 0,
    counts: DemoCounts | None = None,
    difficulty: float = 0.5,
    beside: Beside | None = None,
    progress: Progress = silent,
) -> DemoSet:
    """Draw the demo set, or find it where it was drawn before.

    An image depends on the seed, its portion, its number there and the difficulty, and on nothing else. An
    unfinished or damaged set is drawn anew.

    Args:
        folder: Where it shall lie.
        seed: 0 or more.
        counts: Images a portion; 24 labeled, 240 pool, 40 val and 80 test by default.
        difficulty: Scales clutter, overlap, light and noise, 0 to 1.
        beside: What is labeled beside the boxes. `visible`: clutter lies over the ends of parts, `bbox` is round all of
            a part, hidden or not, and `visible_bbox` round what is seen of it, which is `bbox` without this. `mask`:
            `segmentation` has the pixels of what is seen.
        progress: Called after each image; not called for a set that is there already.

    Returns:
        The finished set.

    Raises:
        ValueError: An argument is out of range.
        ArtefactError: The folder holds a set made with other parameters, or files that are not ours.
    """
    if seed < 0:
        raise ValueError(f"Expected a seed of 0 or more, got {seed}")
    if not 0 <= difficulty <= 1:
        raise ValueError(f"Expected a difficulty from 0 to 1, got {difficulty}")
    folder = folder if isinstance(folder, Folder) else Folder(folder)
    counts = counts or DemoCounts()
    parameters = {"recipe": _RECIPE, "seed": seed, "difficulty": difficulty, "counts": asdict(counts)}
    # Notes of sets that were drawn before this existed do not have the key.
    parameters |= {"beside": beside} if beside else {}
    finished = _find_finished(folder, parameters)
    if finished is None:
        _clear(folder)
        folder.write_json(_NOTE, {"parameters": parameters, "labels": DEMO_LABELS, "digest": None})
        for done, _ in enumerate(_draw_all(folder, parameters), start=1):
            progress("drawing images", done, counts.total)
        finished = _digest(folder)
        folder.write_json(_NOTE, {"parameters": parameters, "labels": DEMO_LABELS, "digest": finished})
    return DemoSet(folder, counts, finished)


def _find_finished(folder: Folder, parameters: dict[str, Any]) -> str | None:
    """The digest of a whole set made with these parameters; None where there is none."""
    if not folder.exists(_NOTE):
        taken = [name for name in (*_ANNOTATIONS, *_ANNOTATIONS.values()) if folder.exists(name)]
        if taken:
            raise ArtefactError(
                f"{folder.path(taken[0])}: expected nothing of this name before the demo set is drawn. "
                "Choose an empty folder."
            )
        return None
    note = folder.read_json(_NOTE)
    if note.get("parameters") != parameters:
        raise ArtefactError(
            f"{folder.uri}: expected a demo set made with {parameters}, got one made with {note.get('parameters')}. "
            "Remove that folder or choose another."
        )
    digest = _digest(folder)
    return digest if digest == note.get("digest") else None


def _clear(folder: Folder) -> None:
    """Remove what an earlier run left, and nothing else."""
    for portion in _ANNOTATIONS:
        foreign = [name for name in folder.folder(portion).names() if not _IMAGE.fullmatch(name)]
        if foreign:
            raise ArtefactError(
                f"{folder.path(portion)}: expected nothing but generated images, got {foreign[0]!r}. "
                "Choose an empty folder for the demo set."
            )
    for name in (*_ANNOTATIONS.values(), *_ANNOTATIONS):
        folder.remove(name)


def _draw_all(folder: Folder, parameters: Mapping[str, Any]) -> Iterator[None]:
    """Write every image, then the COCO file of its portion; yields after each image."""
    number, difficulty = 0, parameters["difficulty"]
    annotation = _ANNOTATE[parameters.get("beside")]
    for position, (portion, file) in enumerate(_ANNOTATIONS.items()):
        truth: dict[str, tuple[Part, ...]] = {}
        for index in range(parameters["counts"][portion]):
            rng = np.random.default_rng([parameters["seed"], position, index])
            scene = draw_scene(difficulty, rng, cover=annotation is _annotation_of_both)
            quality = int(rng.integers(90 - round(50 * difficulty), 96))
            name = f"part_{number:05d}.jpg"
            folder.folder(portion).write_bytes(name, compress(scene.pixels, quality))
            truth[name] = scene.parts
            number += 1
            yield
        folder.write_json(file, _coco(truth, annotation))


def _coco(truth: dict[str, tuple[Part, ...]], annotation: Callable[[Part], dict[str, Any]]) -> dict[str, Any]:
    images = [
        {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for number, name in enumerate(truth, start=1)
    ]
    labeled = [(number, part) for number, parts in enumerate(truth.values(), start=1) for part in parts]
    annotations = [
        {"id": number, "image_id": image, **annotation(part)} for number, (image, part) in enumerate(labeled, start=1)
    ]
    categories = [{"id": number, "name": label} for number, label in enumerate(DEMO_LABELS, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotation(part: Part) -> dict[str, Any]:
    return _keys(part.label, part.box)


def _annotation_of_both(part: Part) -> dict[str, Any]:
    return {**_keys(part.label, part.full_box), "visible_bbox": _sides(part.box)}


def _annotation_with_mask(part: Part) -> dict[str, Any]:
    return {**_annotation(part), "segmentation": runs_of(part.mask)}


_ANNOTATE: dict[Beside | None, Callable[[Part], dict[str, Any]]] = {
    None: _annotation,
    "visible": _annotation_of_both,
    "mask": _annotation_with_mask,
}


def _keys(label: str, corners: Corners) -> dict[str, Any]:
    x, y, width, height = _sides(corners)
    return {
        "category_id": DEMO_LABELS.index(label) + 1,
        "bbox": [x, y, width, height],
        "area": width * height,
        "iscrowd": 0,
    }


def _sides(corners: Corners) -> list[int]:
    x1, y1, x2, y2 = corners
    return [x1, y1, x2 - x1, y2 - y1]


def _digest(folder: Folder) -> str:
    """Hash of the names and bytes of everything but the note; missing files change it like damaged ones."""
    total = hashlib.sha256()
    for portion, file in _ANNOTATIONS.items():
        images = folder.folder(portion)
        names = [(images, name) for name in images.names()]
        names += [(folder, file)] if folder.exists(file) else []
        for place, name in names:
            total.update(f"{portion}/{name}:{hashlib.sha256(place.read_bytes(name)).hexdigest()}\n".encode())
    return total.hexdigest()
