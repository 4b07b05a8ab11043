"""Example pictures of each class, cut from what people labelled, for the instructions of whoever labels."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

from pipeline.artefacts import ClassExamples
from pipeline.cycle import Cycle
from pipeline.dataset.images import read_image
from pipeline.errors import ImageFault, RemoteError
from pipeline.folder import Folder
from pipeline.records import Box, Sample, Split
from pipeline.workspace import Workspace

LOG = logging.getLogger(__name__)
PICTURES = "examples"
"""Folder, in that of the labelling backend, that holds nothing but the pictures."""
PER_CLASS = 3
"""Objects on the picture of a class, each from another image."""
HEIGHT_PX, WIDEST_PX, GAP_PX = 96, 180, 8
MARGIN = 0.3
"""How much of its surroundings is seen round an object, in its longer side."""
_OUTLINE = (255, 59, 48)
_MADE_SO = "1"
"""Raised whenever pictures are made otherwise, since a picture that is there already is not made again."""


def renew_examples(cycle: Cycle) -> None:
    """Make the pictures anew before a push to a page that shows them."""
    settings = cycle.settings
    if settings.labeling.backend == "label_studio":
        folder = Workspace(settings.workspace).labeling
        labelled = cycle.store.labeled(Split.TRAIN)
        write_examples(labelled, settings.data.labels, folder, settings.data.max_image_pixels)


def write_examples(samples: Sequence[Sample], labels: Sequence[str], folder: Folder, max_pixels: int) -> ClassExamples:
    """Make a picture for each class that people have labelled, and remove those that nobody needs any more.

    Args:
        samples: Labelled images, in any order.
        labels: Class names.
        folder: Of the labelling backend; gets the record and, in `PICTURES`, the pictures.
        max_pixels: A larger image is not decoded.

    Returns:
        The pictures; a class has none without a box, or where none of its images can be read.
    """
    pictures = folder.folder(PICTURES)
    made: dict[str, str] = {}
    for label in labels:
        chosen = typical_boxes(samples, label)
        name = _name(label, chosen)
        if chosen and (pictures.exists(name) or _draw(chosen, pictures, name, max_pixels)):
            made[label] = name
    examples = ClassExamples(made)
    folder.write_record(ClassExamples.FILE, examples)
    for name in set(pictures.names()) - set(made.values()):
        pictures.remove(name)
    return examples


def typical_boxes(samples: Sequence[Sample], label: str) -> list[tuple[Sample, Box]]:
    """Choose boxes of a class that are neither large nor small for it, at most one of each image.

    Args:
        samples: Labelled images, in any order.
        label: The class.

    Returns:
        At most `PER_CLASS` images with a box, the most typical first; the same whatever the order of the images.
    """
    found = [(sample, box) for sample in samples for box in sample.boxes if box.label == label]
    typical = float(np.median([_size(box) for _, box in found])) if found else 0.0
    ordered = sorted(found, key=lambda own: (abs(_size(own[1]) - typical), own[0].image_id, own[1].xyxy))
    of_each: dict[str, tuple[Sample, Box]] = {}
    for sample, box in ordered:
        of_each.setdefault(sample.image_id, (sample, box))
    return list(of_each.values())[:PER_CLASS]


def _size(box: Box) -> float:
    return math.log(max(box.x2 - box.x1, 1.0) * max(box.y2 - box.y1, 1.0))


def _name(label: str, chosen: Sequence[tuple[Sample, Box]]) -> str:
    """A file name that changes with what is on the picture."""
    what = repr((_MADE_SO, label, [(sample.image_id, box.xyxy) for sample, box in chosen]))
    plain = re.sub("[^a-z0-9]+", "-", label.lower())[:30].strip("-")
    return f"{plain or 'class'}-{hashlib.sha256(what.encode()).hexdigest()[:8]}.webp"


def _draw(chosen: Sequence[tuple[Sample, Box]], pictures: Folder, name: str, max_pixels: int) -> bool:
    """Write the picture of a class; False where no image can be read."""
    tiles = list(_tiles(chosen, max_pixels))
    if not tiles:
        return False
    strip = Image.new("RGBA", (sum(tile.width + GAP_PX for tile in tiles) - GAP_PX, HEIGHT_PX), (0, 0, 0, 0))
    left = 0
    for tile in tiles:
        strip.paste(tile, (left, (HEIGHT_PX - tile.height) // 2))
        left += tile.width + GAP_PX
    with pictures.create(name) as file:
        strip.save(file, "WEBP", quality=90)
    return True


def _tiles(chosen: Sequence[tuple[Sample, Box]], max_pixels: int) -> Iterator[Image.Image]:
    for sample, box in chosen:
        try:
            image = read_image(sample.uri, max_pixels, image_id=sample.image_id)
        except (ImageFault, RemoteError) as fault:
            LOG.warning("Left out of the example pictures: %s", fault)
            continue
        yield _tile(Image.fromarray(image.pixels), box)


def _tile(image: Image.Image, box: Box) -> Image.Image:
    """An object in its surroundings, with the box round it that people are to draw."""
    margin = MARGIN * max(box.x2 - box.x1, box.y2 - box.y1)
    left, top = math.floor(max(0.0, box.x1 - margin)), math.floor(max(0.0, box.y1 - margin))
    right, bottom = math.ceil(min(image.width, box.x2 + margin)), math.ceil(min(image.height, box.y2 + margin))
    scale = min(HEIGHT_PX / (bottom - top), WIDEST_PX / (right - left))
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    tile = image.crop((left, top, right, bottom)).resize(size, Image.Resampling.LANCZOS)
    corners = [(box.x1 - left) * scale, (box.y1 - top) * scale, (box.x2 - left) * scale, (box.y2 - top) * scale]
    ImageDraw.Draw(tile).rectangle([round(corner) for corner in corners], outline=_OUTLINE, width=2)
    return tile
