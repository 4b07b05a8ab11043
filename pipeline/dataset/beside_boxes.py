"""What COCO files state beside the boxes of objects, looked up by image and place when a detector learns.

It stays in the files of `data.sources`, so that neither export nor Label Studio knows of it. A box whose edges a person
moved keeps it; one that was drawn where the file has none has nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor
from torchvision.ops import box_iou

from pipeline.boxes import as_boxes, clip
from pipeline.dataset.formats.coco_file import Beside, CocoAnnotation, CocoFile
from pipeline.dataset.formats.files import image_uri
from pipeline.records import Sample, Split
from pipeline.settings import SourceSettings

MOVED_IOU = 0.75
"""A box that overlaps less with the one of the file is that of another object."""


def annotated_images(
    sources: Iterable[SourceSettings], split: Split, beside: Beside
) -> Iterator[tuple[str, list[CocoAnnotation]]]:
    """Read the COCO files of a split.

    Args:
        sources: Those of the project.
        split: Which.
        beside: What to read beside boxes.

    Returns:
        Image by image its URI and its objects; crowds are left out.

    Raises:
        DataError: A file is missing or no COCO, see `CocoFile`.
    """
    for source in sources:
        if source.format != "coco" or source.split is not split or source.annotations is None:
            continue
        for image in CocoFile(source.annotations, beside).images():
            uri = image_uri(source.images, image.file_name, f"{source.annotations}: image {image.id}")
            yield uri, [each for each in image.annotations if not each.is_crowd]


def find_stated(sample: Sample, stated: Tensor) -> tuple[Tensor, Tensor]:
    """Find the boxes of an image among those that its file states.

    Args:
        sample: The image and its N boxes.
        stated (Tensor[M, 4]): in `(x1, y1, x2, y2)`, pixels, M at least 1.

    Returns:
        Tensor[N]: which of the stated boxes it overlaps with most, and Tensor[N] bool: whether that is the same object,
        since no other box of the image overlaps with it more.
    """
    boxes = as_boxes([box.xyxy for box in sample.boxes])
    overlaps = box_iou(boxes, clip(stated, sample.width, sample.height))
    overlap, which = overlaps.max(1)
    return which, (overlap >= MOVED_IOU) & (overlap == overlaps.amax(0)[which])
