"""COCO detection: one JSON file, boxes as `[x, y, width, height]` in pixels. Segmentations are passed over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.dataset.formats.entry import Entry, EntryBox
from pipeline.dataset.formats.files import image_uri, read_text
from pipeline.errors import DataError
from pipeline.json_text import parse_json
from pipeline.records import Box, Region, Sample
from pipeline.workspace import Folder


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class _Annotation(BaseModel):
    id: int | str
    image_id: int | str
    category_id: int | str
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class _Category(BaseModel):
    id: int | str
    name: str


class _File(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read(annotations: str, images: str) -> Iterator[Entry]:
    """Read a COCO file; an image without annotations is a true negative, a crowd becomes an ignore region.

    Args:
        annotations: The JSON file, path or fsspec URI.
        images: Folder that `file_name` is relative to.

    Yields:
        One entry per image, in the file's order.

    Raises:
        DataError: The file is missing or no COCO, or an annotation names an image or a category that the file
            does not have; the message names the file and the id.
    """
    content = _parse(annotations)
    names = {category.id: category.name for category in content.categories}
    known = {image.id for image in content.images}
    if len(known) != len(content.images):
        raise DataError(f"{annotations}: expected every image id once, got {len(content.images)} for {len(known)} ids")
    boxes: dict[int | str, list[EntryBox]] = defaultdict(list)
    for annotation in content.annotations:
        where = f"annotation {annotation.id}"
        if annotation.image_id not in known:
            raise DataError(f"{annotations}: {where}: expected the id of an image, got {annotation.image_id!r}")
        if annotation.category_id not in names:
            raise DataError(f"{annotations}: {where}: expected the id of a category, got {annotation.category_id!r}")
        boxes[annotation.image_id].append(_entry_box(annotation, names[annotation.category_id], where))
    for image in content.images:
        uri = image_uri(images, image.file_name, f"{annotations}: image {image.id}")
        # Some tools write 0 for a size they do not know.
        yield Entry(uri, tuple(boxes[image.id]), image.width or None, image.height or None)


def write(
    samples: Sequence[Sample], names: Mapping[str, str], labels: Sequence[str], folder: Folder, split: str
) -> None:
    """Write `<split>.json`; boxes carry where they come from as extra keys.

    A region that must be ignored concerns every class, so it is written as a crowd of each.

    Args:
        samples: Their images and boxes.
        names: `file_name` of each image id.
        labels: Class names; the category ids are 1, 2, ... in this order.
        folder: Where to write.
        split: Name of the file.
    """
    numbers = {label: number for number, label in enumerate(labels, 1)}
    found: list[dict[str, Any]] = []
    for number, sample in enumerate(samples, 1):
        found.extend({"image_id": number, **_box_keys(box, numbers)} for box in sample.boxes)
        found.extend(
            {"image_id": number, **_crowd_keys(region, n)} for region in sample.ignore for n in numbers.values()
        )
    content = {
        "info": {"description": f"crosscheck {split}"},
        "images": [_image_keys(number, sample, names) for number, sample in enumerate(samples, 1)],
        "annotations": [{"id": number, **keys} for number, keys in enumerate(found, 1)],
        "categories": [{"id": number, "name": label} for label, number in numbers.items()],
    }
    folder.write_json(f"{split}.json", content)


def _parse(annotations: str) -> _File:
    try:
        raw = parse_json(read_text(annotations))
    except ValueError as fault:
        raise DataError(f"{annotations}: expected JSON, got {fault}") from fault
    try:
        return _File.model_validate(raw)
    except ValidationError as fault:
        error = fault.errors()[0]
        raise DataError(
            f"{annotations}: {_place(raw, error['loc'])}: {error['msg']}, got {error['input']!r}"
        ) from fault


def _place(raw: Any, location: tuple[int | str, ...]) -> str:
    """Say where a fault lies, with the id a person can search for."""
    match location:
        case (str(section), int(index), *rest):
            identifier = raw[section][index].get("id") if isinstance(raw[section][index], dict) else None
            return f"{section}[{index}] (id {identifier}) {'.'.join(map(str, rest))}"
        case _:
            return ".".join(map(str, location)) or "the file"


def _entry_box(annotation: _Annotation, label: str, where: str) -> EntryBox:
    x, y, width, height = annotation.bbox
    return EntryBox(x, y, x + width, y + height, label, where, "crowd" if annotation.iscrowd else "")


def _image_keys(number: int, sample: Sample, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": names[sample.image_id],
        "width": sample.width,
        "height": sample.height,
        "sha256": sample.image_id,
        "state": sample.state,
    }


def _box_keys(box: Box, numbers: Mapping[str, int]) -> dict[str, Any]:
    return {
        "category_id": numbers[box.label],
        **_geometry(box),
        "iscrowd": 0,
        "source": box.source,
        "score": box.score,
        "consistency": box.consistency,
        "p_correct": box.p_correct,
        "model_id": box.model_id,
        "proposal_id": box.proposal_id,
        "annotation_id": box.annotation_id,
        "annotator": box.annotator,
    }


def _crowd_keys(region: Region, number: int) -> dict[str, Any]:
    return {"category_id": number, **_geometry(region), "iscrowd": 1, "ignore_reason": region.reason}


def _geometry(part: Box | Region) -> dict[str, Any]:
    x1, y1, x2, y2 = part.xyxy
    sides = [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)]
    return {"bbox": sides, "area": round(sides[2] * sides[3], 3)}
