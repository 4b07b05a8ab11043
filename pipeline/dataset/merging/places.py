"""Where the labels of another source lie: as an export writes them, or as a person names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.records import Split

SPLITS = (Split.TRAIN, Split.VAL, Split.TEST)
_PARTS = {"coco": "{split}.json", "yolo": "labels/{split}", "voc": "annotations/{split}"}
_WHOLE = {"yolo": "labels", "voc": "annotations"}


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of one split.

    Attributes:
        split: What its images are for.
        format: `coco`, `yolo` or `voc`.
        annotations: The COCO file, or the folder of label files.
        images: Folder of the images.
    """

    split: Split
    format: str
    annotations: str
    images: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person says of another source; None for what the files tell.

    Attributes:
        place: A COCO file, or a folder as an export writes it.
        format: `coco`, `yolo` or `voc`.
        images: Folder of the images.
        split: What all images are for, where the files do not say.
    """

    place: str
    format: str | None = None
    images: str | None = None
    split: Split | None = None


def labels_in(wanted: Wanted) -> list[Labels]:
    """Find the labels of each split.

    Raises:
        DataError: There are none, or it is not clear what images they are of or what these are for.
    """
    if wanted.place.endswith(".json"):
        return [_one_file(wanted)]
    folder = Folder(wanted.place)
    formats = [wanted.format] if wanted.format else list(_PARTS)
    for name in formats:
        parts = {split: _PARTS[name].format(split=split).split("/") for split in SPLITS}
        found = [split for split, (*above, last) in parts.items() if folder.folder(*above).exists(last)]
        if found:
            return [Labels(split, name, folder.path(*parts[split]), _images(wanted, folder, split)) for split in found]
    return [_one_folder(wanted, folder)]


def _one_file(wanted: Wanted) -> Labels:
    path = PurePosixPath(wanted.place)
    split = wanted.split or next((split for split in SPLITS if split == path.stem), None)
    if split is None:
        raise DataError(f"{wanted.place}: expected --split train, val or test, since the name of the file says none.")
    if wanted.images is None:
        raise DataError(f"{wanted.place}: expected --images, the folder that the names of images in it start from.")
    return Labels(split, "coco", wanted.place, wanted.images)


def _one_folder(wanted: Wanted, folder: Folder) -> Labels:
    if wanted.format not in _WHOLE or wanted.split is None:
        named = ", ".join(_PARTS[name].format(split="train") for name in _PARTS)
        raise DataError(
            f"Expected a workspace, a COCO file or an export ({named}, or the same of val or test) at {folder.uri}, "
            "found none. Labels without folders of splits need --format yolo or voc, and --split."
        )
    return Labels(
        wanted.split, wanted.format, folder.path(_WHOLE[wanted.format]), wanted.images or folder.path("images")
    )


def _images(wanted: Wanted, folder: Folder, split: Split) -> str:
    """Copies and links of an export lie in one folder a split."""
    root = Folder(wanted.images) if wanted.images else folder.folder("images")
    if root.exists(split):
        return root.path(split)
    if wanted.images is None:
        raise DataError(
            f"{folder.uri}: expected the images in {root.path(split)}, found none. Say with --images where they are."
        )
    return root.uri
