"""Annotation formats, each in an adapter of its own that reads and writes.

The readers of `supervision` are not used: those of YOLO and VOC stop at the first image that cannot be read, and
none of them still knows which line or id a box came from when the box turns out to be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline.dataset.formats import coco, image_folder, voc, yolo
from pipeline.dataset.formats.entry import Entry
from pipeline.folder import Folder
from pipeline.records import Sample

Writer = Callable[[Sequence[Sample], Mapping[str, str], Sequence[str], Folder, str], None]
"""Writes images and boxes, every box with one of the class names.

It takes the images, the path of each image id relative to the folder of images with `/` between the parts, class names
in order, the folder to write to, and the name of the split. Raises `DataError` where two images would share one label
file.
"""


def read_entries(format_name: str, annotations: str | None, images: str, labels: Sequence[str] = ()) -> Iterator[Entry]:
    """Read images and their labels as the files state them.

    Args:
        format_name: `coco`, `yolo`, `voc` or `images`.
        annotations: The COCO file, or the folder of YOLO or VOC files; None for `images`.
        images: Folder of the images.
        labels: Class names for YOLO folders that have none of their own.

    Returns:
        An iterator over entries, in a fixed order; faults are raised while it runs.

    Raises:
        DataError: A file is missing or malformed, or names an image outside `images`.
        ValueError: The format is unknown, or annotations are missing for it.
    """
    match format_name, annotations:
        case "coco", str():
            return coco.read(annotations, images)
        case "yolo", str():
            return yolo.read(annotations, images, labels)
        case "voc", str():
            return voc.read(annotations, images)
        case "images", None:
            return image_folder.read(images)
        case _:
            raise ValueError(
                f"Expected format coco, yolo or voc with annotations, or images without, "
                f"got {format_name!r} with {annotations!r}"
            )


def writer_of(format_name: str) -> Writer:
    """What writes the labels of one split in a format; images are not written.

    Args:
        format_name: `coco` (`<split>.json`), `yolo` (`labels/<split>/*.txt`, `data.yaml`) or `voc`
            (`annotations/<split>/*.xml`).

    Raises:
        ValueError: The format is unknown.
    """
    writers: dict[str, Writer] = {"coco": coco.write, "yolo": yolo.write, "voc": voc.write}
    if format_name not in writers:
        raise ValueError(f"Expected format coco, yolo or voc, got {format_name!r}")
    return writers[format_name]
