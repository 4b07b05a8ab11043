"""YOLO: one text file per image, one line per box: `class x_centre y_centre width height`, as shares of the image.

Class names come from the nearest `data.yaml` or `classes.txt`: in the folder of labels or up to two folders above.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from pipeline.dataset.formats.entry import Entry, EntryBox
from pipeline.dataset.formats.files import (
    IMAGE_SUFFIXES,
    image_uri,
    label_names,
    list_files,
    nearest_file,
    read_text,
    write_below,
)
from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.records import Box, Sample

_PARTS = ("train", "val", "test")
_CLASS_FILES = ("data.yaml", "data.yml", "classes.txt")


def read(annotations: str, images: str, labels: Sequence[str] = ()) -> Iterator[Entry]:
    """Read a folder of YOLO labels; a polygon line gives the box round the polygon.

    An empty file is a true negative. An image without a file is refused: it may be a true negative or not labeled
    yet, and guessing wrong would teach the detector that its objects are background.

    Args:
        annotations: Folder of the .txt files, path or fsspec URI.
        images: Folder of the images; `a/b.txt` belongs to `a/b.jpg` (or another suffix).
        labels: Class names where no `data.yaml` or `classes.txt` gives them.

    Yields:
        One entry per label file, by name; boxes are shares of the displayed image.

    Raises:
        DataError: A line is malformed, a class number has no name, or images and files do not pair up; the
            message names the file and the line.
    """
    classes = _class_names(annotations) or list(labels)
    if not classes:
        raise DataError(f"Expected class names in data.yaml or classes.txt in or above {annotations}, found neither.")
    by_stem = _images_by_stem(images)
    files = [name for name in list_files(annotations, {".txt"}) if name != "classes.txt"]
    _require_label_files(by_stem, files, annotations)
    for name in files:
        file = f"{Folder(annotations).uri}/{name}"
        lines = enumerate(read_text(file).splitlines(), 1)
        boxes = tuple(_entry_box(line, number, classes, file) for number, line in lines if line.strip())
        # A label without an image goes on under its stem, to be reported as a missing image.
        stem = str(PurePosixPath(name).with_suffix(""))
        yield Entry(image_uri(images, by_stem.get(stem, stem), file), boxes, relative=True)


def write(
    samples: Sequence[Sample], names: Mapping[str, str], labels: Sequence[str], folder: Folder, split: str
) -> None:
    """Write `labels/<split>/*.txt` and `data.yaml`; the format has no place for ignore regions, they are lost.

    Trainers look for the images in `images/<split>/`, where `data.yaml` names them, relative to itself: it can be moved
    with its folder. It names the splits that were written, this one the last.

    Args:
        samples: Their images and boxes.
        names: Relative path of each image id; the label file takes it with the suffix .txt.
        labels: Class names; the numbers are 0, 1, ... in this order.
        folder: Where to write.
        split: Name of the folder below `labels`.

    Raises:
        DataError: Two images would share one label file.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    for sample, name in zip(samples, label_names([names[sample.image_id] for sample in samples], ".txt"), strict=True):
        lines = [_line(box, numbers[box.label], sample) for box in sample.boxes]
        write_below(folder, f"labels/{split}/{name}", "".join(lines))
    written = [part for part in _PARTS if folder.folder("labels").exists(part)]
    content = {**{part: f"images/{part}" for part in written}, "names": dict(enumerate(labels))}
    folder.write_bytes("data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def _class_names(annotations: str) -> list[str]:
    file = nearest_file(annotations, _CLASS_FILES, levels=2)
    return _parse_class_names(file) if file else []


def _parse_class_names(file: str) -> list[str]:
    text = read_text(file)
    if file.endswith(".txt"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise DataError(f"{file}: expected YAML, got {fault}") from fault
    match content:
        case {"names": list(found)}:
            return [str(name) for name in found]
        case {"names": dict(found)} if {str(key) for key in found} == {str(n) for n in range(len(found))}:
            return [str(found[key]) for key in sorted(found, key=int)]
        case _:
            raise DataError(f"{file}: expected 'names' with a list of classes, or with the numbers 0, 1, ... as keys")


def _images_by_stem(images: str) -> dict[str, str]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in list_files(images, IMAGE_SUFFIXES):
        found[str(PurePosixPath(name).with_suffix(""))].append(name)
    for stem, names in found.items():
        if len(names) > 1:
            raise DataError(f"{images}: expected one image for {stem}.txt, got {', '.join(names)}. Rename them.")
    return {stem: names[0] for stem, names in found.items()}


def _require_label_files(by_stem: Mapping[str, str], files: Sequence[str], annotations: str) -> None:
    labeled = {str(PurePosixPath(name).with_suffix("")) for name in files}
    bare = [name for stem, name in by_stem.items() if stem not in labeled]
    if bare:
        raise DataError(
            f"{annotations}: expected a .txt file for every image, found none for {len(bare)}: "
            f"{', '.join(bare[:5])}. Add an empty file where an image holds no object; "
            f"put images that are not labeled yet in a pool source."
        )


def _entry_box(line: str, number: int, classes: Sequence[str], file: str) -> EntryBox:
    where = f"line {number}"
    try:
        first, *values = (float(word) for word in line.split())
    except ValueError as fault:
        raise DataError(f"{file}: {where}: expected numbers, got {line!r}") from fault
    if not (first.is_integer() and 0 <= first < len(classes)):
        raise DataError(f"{file}: {where}: expected a class number from 0 to {len(classes) - 1}, got {first:g}")
    if len(values) == 4:
        x, y, width, height = values
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        corners = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
        # min and max pass over NaN
        corners = corners if all(map(math.isfinite, values)) else (math.nan,) * 4
    else:
        raise DataError(f"{file}: {where}: expected a class and 4 numbers, or 3 or more points, got {line!r}")
    return EntryBox(*corners, classes[int(first)], where)


def _line(box: Box, number: int, sample: Sample) -> str:
    x = (box.x1 + box.x2) / 2 / sample.width
    y = (box.y1 + box.y2) / 2 / sample.height
    width = (box.x2 - box.x1) / sample.width
    height = (box.y2 - box.y1) / sample.height
    return f"{number} {x:.8f} {y:.8f} {width:.8f} {height:.8f}\n"
