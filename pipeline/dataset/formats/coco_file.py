"""What a COCO file holds, read a few elements at a time into columns: millions of boxes take tens of bytes each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, Field, PrivateAttr, TypeAdapter, ValidationError, model_validator

from pipeline.dataset.formats.coco_masks import Rle, rasterize
from pipeline.dataset.formats.files import stream_text
from pipeline.dataset.formats.json_stream import NoObjectError, Part, read_parts
from pipeline.errors import DataError

Id = int | str
_SHOWN = 300
"""Characters of what is wrong in a file."""
_TOGETHER = 4096
"""Images whose boxes are laid out as records at once."""


class _Image(BaseModel):
    id: Id
    file_name: str
    width: int | None = None
    height: int | None = None


class _Annotation(BaseModel):
    id: Id
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class _TwoBoxAnnotation(_Annotation):
    """With the box of what is seen of an object; `vis_bbox` and `vbox` are what CityPersons and CrowdHuman call it."""

    visible_bbox: tuple[float, float, float, float] | None = Field(
        default=None, validation_alias=AliasChoices("visible_bbox", "vis_bbox", "vbox")
    )

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """The box, NaN where there is none."""
        return self.visible_bbox or (math.nan,) * 4


class _MaskAnnotation(_Annotation):
    """With the mask of an object."""

    segmentation: list[list[float]] | Rle | None = None
    _mask: bytes = PrivateAttr(b"")

    @model_validator(mode="after")
    def _draw(self) -> _MaskAnnotation:
        if self.segmentation is not None and not self.iscrowd:
            self._mask = rasterize(self.segmentation, self.bbox)
        return self

    @property
    def mask(self) -> bytes:
        """Its raster, empty where there is none."""
        return self._mask


class _Category(BaseModel):
    id: Id
    name: str


_IMAGES, _CATEGORIES = TypeAdapter(list[_Image]), TypeAdapter(list[_Category])
_KEPT = ("id", "image_id", "category_id", "bbox", "iscrowd")
Beside = Literal["visible", "mask"]
"""What a file may state beside the boxes: visible boxes, or masks."""
_ANNOTATIONS: dict[Beside | None, TypeAdapter[Any]] = {
    None: TypeAdapter(list[_Annotation]),
    "visible": TypeAdapter(list[_TwoBoxAnnotation]),
    "mask": TypeAdapter(list[_MaskAnnotation]),
}


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image as the file states it, with its annotations; a size of None is not known."""

    id: Id
    file_name: str
    width: int | None
    height: int | None
    annotations: tuple[CocoAnnotation, ...]


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """An annotation as the file states it; boxes are `[x, y, width, height]`.

    `visible` is NaN and `mask` empty unless it was read; see `coco_masks.rasterize`.
    """

    id: Id
    label: str
    bbox: tuple[float, float, float, float]
    is_crowd: bool
    visible: tuple[float, float, float, float] = (math.nan,) * 4
    mask: bytes = b""


class _Section:
    """One list of the file, as columns.

    Args:
        key: Where it stands.
        kind: What its elements are.
        columns: Which of their fields are kept.
    """

    def __init__(self, key: str, kind: TypeAdapter[Any], columns: Sequence[str]) -> None:
        self.key, self._columns, self._kind = key, columns, kind
        self._parts: dict[str, list[NDArray[Any]]] | None = None

    def add(self, part: Part) -> None:
        """Take a part.

        Raises:
            ValueError: It is of the wrong type; the message says where.
        """
        try:
            rows = self._kind.validate_python(part.value)
        except ValidationError as fault:
            error = fault.errors()[0]
            place = self._place(part, error["loc"])
            raise ValueError(f"{place}: {error['msg']}, got {repr(error['input'])[:_SHOWN]}") from fault
        if self._parts is None or not part.first:
            self._parts = {name: [] for name in self._columns}
        for name, pieces in self._parts.items():
            pieces.append(_column(list(map(attrgetter(name), rows))))

    def columns(self) -> list[NDArray[Any]]:
        """The columns in order.

        Raises:
            ValueError: The file has no such list.
        """
        if self._parts is None:
            raise ValueError(f"{self.key}: Field required")
        # Piece by piece out of the memory, since both together would be the peak.
        return [np.concatenate(self._parts.pop(name)) for name in self._columns]

    def _place(self, part: Part, location: tuple[int | str, ...]) -> str:
        """Say where a fault lies, with the id a person can search for."""
        if not location:
            return self.key
        index, *rest = location
        element = part.value[int(index)]
        identifier = element.get("id") if isinstance(element, dict) else None
        return f"{self.key}[{part.first + int(index)}] (id {identifier}) {'.'.join(map(str, rest))}"


class CocoFile:
    """A COCO file, checked: every annotation names an image and a category that the file has.

    Args:
        place: The JSON file, path or fsspec URI.
        beside: What to read beside the boxes.

    Raises:
        DataError: The file is missing or no COCO; the message names the file and the id.
    """

    def __init__(self, place: str, beside: Beside | None = None) -> None:
        self._beside = beside
        sections = (
            _Section("images", _IMAGES, ("id", "file_name", "width", "height")),
            _Section("annotations", _ANNOTATIONS[beside], _KEPT if beside is None else (*_KEPT, beside)),
            _Section("categories", _CATEGORIES, ("id", "name")),
        )
        try:
            images, annotations, categories = _read(place, sections)
        except ValueError as fault:
            raise DataError(f"{place}: {fault}") from fault
        self._images, self._annotations = images, annotations
        self._names = dict(zip(categories[0].tolist(), categories[1].tolist(), strict=True))
        self._order, self._starts = self._by_image(place)

    def images(self) -> Iterator[CocoImage]:
        """The images in the file's order, each with its annotations in the file's order."""
        ids, names, widths, heights = self._images
        for start in range(0, len(ids), _TOGETHER):
            end = min(start + _TOGETHER, len(ids))
            found = self._of_images(start, end)
            for place in range(start, end):
                first, last = (int(each - self._starts[start]) for each in self._starts[place : place + 2])
                # Some tools write 0 for a size they do not know.
                sizes = (int(widths[place]) or None, int(heights[place]) or None)
                yield CocoImage(_at(ids, place), names[place], *sizes, tuple(found[first:last]))

    def _of_images(self, start: int, end: int) -> list[CocoAnnotation]:
        rows = self._order[self._starts[start] : self._starts[end]]
        ids, _, categories, boxes, crowds, *more = (column[rows].tolist() for column in self._annotations)
        plain = [
            CocoAnnotation(each, self._names[category], tuple(box), bool(crowd))
            for each, category, box, crowd in zip(ids, categories, boxes, crowds, strict=True)
        ]
        if self._beside == "visible":
            return [replace(each, visible=tuple(seen)) for each, seen in zip(plain, more[0], strict=True)]
        return [replace(each, mask=mask) for each, mask in zip(plain, more[0], strict=True)] if more else plain

    def _by_image(self, place: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of annotations by image, and where those of each image begin."""
        ids = self._images[0].tolist()
        places = {each: number for number, each in enumerate(ids)}
        if len(places) != len(ids):
            raise DataError(f"{place}: expected every image id once, got {len(ids)} for {len(places)} ids")
        numbers, image_ids, category_ids = self._annotations[:3]
        of_image = np.fromiter((places.get(each, -1) for each in _plain(image_ids)), np.int64, len(image_ids))
        known = np.fromiter((each in self._names for each in _plain(category_ids)), np.bool_, len(category_ids))
        for row in np.flatnonzero((of_image < 0) | ~known)[:1].tolist():
            what, given = ("an image", image_ids) if of_image[row] < 0 else ("a category", category_ids)
            where = f"{place}: annotation {_at(numbers, row)}"
            raise DataError(f"{where}: expected the id of {what}, got {_at(given, row)!r}")
        counts = np.bincount(of_image, minlength=len(ids))
        return np.argsort(of_image, kind="stable"), np.concatenate([[0], np.cumsum(counts)])


def _read(place: str, sections: Sequence[_Section]) -> list[list[NDArray[Any]]]:
    by_key = {section.key: section for section in sections}
    for part in _json_parts(place):
        if part.key in by_key:
            by_key[part.key].add(part)
    return [section.columns() for section in sections]


def _json_parts(place: str) -> Iterator[Part]:
    parts = read_parts(stream_text(place))
    while True:
        try:
            part = next(parts, None)
        except NoObjectError as fault:
            expected = "an object with images, annotations and categories"
            raise ValueError(f"the file: expected {expected}, got {fault}") from fault
        except ValueError as fault:
            raise ValueError(f"expected JSON, got {fault}") from fault
        if part is None:
            return
        yield part


def _column(values: list[Any]) -> NDArray[Any]:
    """Values as numbers where all are, unknown sizes as 0; texts, and numbers that are too large, as they are."""
    plain = [0 if value is None else value for value in values]
    if all(type(value) is int for value in plain):
        try:
            return np.array(plain, dtype=np.int64)
        except OverflowError:
            pass
    if plain and isinstance(plain[0], tuple):
        return np.array(plain, dtype=np.float64)
    kept = np.empty(len(plain), dtype=object)
    kept[:] = plain
    return kept


def _at(column: NDArray[Any], row: int) -> Any:
    """A value of Python."""
    return column[row : row + 1].tolist()[0]


def _plain(column: NDArray[Any]) -> Iterable[Any]:
    """Values of Python, a few at a time."""
    for start in range(0, len(column), _TOGETHER):
        yield from column[start : start + _TOGETHER].tolist()
