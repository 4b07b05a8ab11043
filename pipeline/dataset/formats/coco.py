"""COCO detection: one JSON file, boxes as `[x, y, width, height]` in pixels. Segmentations are passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.dataset.formats.coco_file import CocoAnnotation, CocoFile
from pipeline.dataset.formats.entry import Entry, EntryBox
from pipeline.dataset.formats.files import image_uri
from pipeline.folder import Folder
from pipeline.records import Box, Region, Sample


def read(annotations: str, images: str) -> Iterator[Entry]:
    """Read a COCO file; an image without annotations is a true negative, a crowd becomes an ignore region.

    The file is read a few elements at a time, and all of it before the first entry: annotations may stand anywhere.

    Args:
        annotations: The JSON file, path or fsspec URI.
        images: Folder that `file_name` is relative to.

    Yields:
        One entry per image, in the file's order.

    Raises:
        DataError: The file is missing or no COCO, or an annotation names an image or a category that the file
            does not have; the message names the file and the id.
    """
    for image in CocoFile(annotations).images():
        uri = image_uri(images, image.file_name, f"{annotations}: image {image.id}")
        yield Entry(uri, tuple(map(_entry_box, image.annotations)), image.width, image.height)


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
    found: list[dict[str, object]] = []
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


def _entry_box(annotation: CocoAnnotation) -> EntryBox:
    x, y, width, height = annotation.bbox
    ignore = "crowd" if annotation.is_crowd else ""
    return EntryBox(x, y, x + width, y + height, annotation.label, f"annotation {annotation.id}", ignore)


def _image_keys(number: int, sample: Sample, names: Mapping[str, str]) -> dict[str, object]:
    return {
        "id": number,
        "file_name": names[sample.image_id],
        "width": sample.width,
        "height": sample.height,
        "sha256": sample.image_id,
        "state": sample.state,
    }


def _box_keys(box: Box, numbers: Mapping[str, int]) -> dict[str, object]:
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


def _crowd_keys(region: Region, number: int) -> dict[str, object]:
    return {"category_id": number, **_geometry(region), "iscrowd": 1, "ignore_reason": region.reason}


def _geometry(part: Box | Region) -> dict[str, object]:
    x1, y1, x2, y2 = part.xyxy
    sides = [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)]
    return {"bbox": sides, "area": round(sides[2] * sides[3], 3)}
