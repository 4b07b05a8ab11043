"""Pascal VOC: an XML file an image.

Corners are whole pixel numbers that start at 1 and include the last pixel, as in the VOC development kit: a box from
`x1` to `x2` in our coordinates is `xmin = x1 + 1`, `xmax = x2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from xml.etree import ElementTree

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from pipeline.dataset.formats.entry import Entry, EntryBox
from pipeline.dataset.formats.files import image_uri, label_names, list_files, read_bytes, write_below
from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.records import Box, Region, Sample

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(annotations: str, images: str) -> Iterator[Entry]:
    """Read a folder of VOC files; a `difficult` object becomes an ignore region.

    Args:
        annotations: Folder of the .xml files, path or fsspec URI.
        images: Folder of the images; `a/b.xml` names an image in `a`.

    Yields:
        One entry per file, by name; a file without objects is a true negative.

    Raises:
        DataError: A file is no VOC annotation; the message names the file and the object.
    """
    for name in list_files(annotations, {".xml"}):
        file = f"{Folder(annotations).uri}/{name}"
        root = _parse(file)
        image = PurePosixPath(name).parent / _text(root, "filename", file)
        objects = enumerate(root.findall("object"), 1)
        boxes = tuple(_entry_box(item, f"object {number}", file) for number, item in objects)
        yield Entry(image_uri(images, str(image), file), boxes, *_size(root, file))


def write(
    samples: Sequence[Sample], names: Mapping[str, str], labels: Sequence[str], folder: Folder, split: str
) -> None:
    """Write `annotations/<split>/*.xml`, corners rounded to whole pixels.

    A region that must be ignored concerns every class, so it is written as a difficult object of each.

    Args:
        samples: Their images and boxes.
        names: Relative path of each image id; the file takes it with the suffix .xml.
        labels: Class names.
        folder: Where to write.
        split: Name of the folder below `annotations`.

    Raises:
        DataError: Two images would share one file.
    """
    for sample, name in zip(samples, label_names([names[sample.image_id] for sample in samples], ".xml"), strict=True):
        root = _document(sample, names[sample.image_id], labels)
        write_below(folder, f"annotations/{split}/{name}", ElementTree.tostring(root, encoding="unicode") + "\n")


def _parse(file: str) -> ElementTree.Element:
    try:
        root: ElementTree.Element = defusedxml.ElementTree.fromstring(read_bytes(file))
    except (ElementTree.ParseError, DefusedXmlException) as fault:
        raise DataError(f"{file}: expected VOC XML, got {fault}") from fault
    return root


def _size(root: ElementTree.Element, file: str) -> tuple[int | None, int | None]:
    """Stated size; some tools leave it out or write 0 for a size they do not know."""
    if root.find("size") is None:
        return None, None
    width, height = (int(_number(root, f"size/{side}", file)) for side in ("width", "height"))
    return width or None, height or None


def _entry_box(item: ElementTree.Element, where: str, file: str) -> EntryBox:
    place = f"{file}: {where}"
    xmin, ymin, xmax, ymax = (_number(item, f"bndbox/{corner}", place) for corner in _CORNERS)
    difficult = item.find("difficult") is not None and _number(item, "difficult", place) != 0
    label = _text(item, "name", place)
    return EntryBox(xmin - 1, ymin - 1, xmax, ymax, label, where, "difficult" if difficult else "")


def _text(item: ElementTree.Element, path: str, place: str) -> str:
    text = (item.findtext(path) or "").strip()
    if not text:
        raise DataError(f"{place}: expected a text in <{path}>, found none")
    return text


def _number(item: ElementTree.Element, path: str, place: str) -> float:
    text = _text(item, path, place)
    try:
        return float(text)
    except ValueError as fault:
        raise DataError(f"{place}: expected a number in <{path}>, got {text!r}") from fault


def _document(sample: Sample, name: str, labels: Sequence[str]) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = PurePosixPath(name).name
    size = ElementTree.SubElement(root, "size")
    for side, value in (("width", sample.width), ("height", sample.height), ("depth", 3)):
        ElementTree.SubElement(size, side).text = str(value)
    for box in sample.boxes:
        _add_object(root, box, box.label, difficult=False)
    for region in sample.ignore:
        for label in labels:
            _add_object(root, region, label, difficult=True)
    ElementTree.indent(root)
    return root


def _add_object(root: ElementTree.Element, part: Box | Region, label: str, *, difficult: bool) -> None:
    item = ElementTree.SubElement(root, "object")
    ElementTree.SubElement(item, "name").text = label
    ElementTree.SubElement(item, "difficult").text = str(int(difficult))
    corners = ElementTree.SubElement(item, "bndbox")
    xmin, ymin = round(part.x1) + 1, round(part.y1) + 1
    # A box thinner than a pixel still covers the pixel it lies in.
    values = (xmin, ymin, max(round(part.x2), xmin), max(round(part.y2), ymin))
    for corner, value in zip(_CORNERS, values, strict=True):
        ElementTree.SubElement(corners, corner).text = str(value)
