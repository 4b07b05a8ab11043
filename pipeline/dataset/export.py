"""A dataset version in a format of the outside world."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

from pipeline.dataset.formats import writer_of
from pipeline.dataset.formats.files import read_bytes
from pipeline.dataset.store import SampleStore
from pipeline.errors import DataError
from pipeline.folder import Folder
from pipeline.records import Region, Sample, Source, Split, State

LEARNING_AND_EVALUATION = (Split.TRAIN, Split.VAL, Split.TEST)


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """What an export holds, and how it is written.

    Attributes:
        format_name: `coco`, `yolo` or `voc`, see `writer_of` for the files.
        splits: Which splits; pseudo-labeled images of the pool belong to train.
        include_pseudo: Write images in state `pseudo` too. Soft labels, which promise nothing, are ignore regions, and
            images that hold nothing else are left out. Images that were answered in part are left out of `yolo`, which
            knows no ignore regions.
        copy_images: Copy the images to `images/<split>/`, byte for byte; otherwise they stay where they are, and
            `yolo`, whose trainers find labels by the place of the image alone, gets hard links to them there.
    """

    format_name: str
    splits: Collection[Split] = LEARNING_AND_EVALUATION
    include_pseudo: bool = False
    copy_images: bool = False


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export wrote.

    Attributes:
        images_root: Folder that the paths of images in the files are relative to; copies and links lie one folder a
            split below it.
        images: Number of images by split.
        boxes: Number of boxes by split.
        lost_regions: Ignore regions that the format has no place for.
    """

    images_root: str
    images: dict[str, int]
    boxes: dict[str, int]
    lost_regions: int


def export(
    store: SampleStore, version: int | None, spec: ExportSpec, folder: Folder, labels: Sequence[str]
) -> ExportResult:
    """Write the labels that a training set should hold: those of labeled images and, if wanted, pseudo-labels.

    Args:
        store: The sample table.
        version: Number of the version; the latest for None.
        spec: What it holds, and in which format.
        folder: Where to write; files of the same names are replaced.
        labels: Class names, in order.

    Returns:
        What was written.

    Raises:
        ArtefactError: There is no such version.
        DataError: No image qualifies, a label is not among `labels`, an image to copy is gone, the images have no
            folder in common, or for `yolo` cannot be linked to.
    """
    states = [State.LABELED, State.PSEUDO] if spec.include_pseudo else [State.LABELED]
    by_split: dict[str, list[Sample]] = {str(split): [] for split in spec.splits}
    for sample in map(_promised, store.samples(version, states)):
        if (sample.boxes or sample.state is not State.PSEUDO) and not _would_mislead(sample, spec.format_name):
            by_split.get(_purpose(sample), []).append(sample)
    by_split = {split: samples for split, samples in by_split.items() if samples}
    everything = [sample for samples in by_split.values() for sample in samples]
    if not everything:
        wanted = f"{' or '.join(states)} images in {', '.join(spec.splits)}"
        raise DataError(f"Expected {wanted} of {store.uri}, found none.")
    _require_labels(everything, labels)
    write = writer_of(spec.format_name)
    place = _copy if spec.copy_images else _link if spec.format_name == "yolo" else None
    root, names = _copied_names(everything, folder) if place else _names_in_place(everything)
    for split, samples in by_split.items():
        if place:
            for sample in samples:
                place(sample.uri, folder.folder("images", split), names[sample.image_id])
        write(samples, names, labels, folder, split)
    return ExportResult(
        images_root=root,
        images={split: len(samples) for split, samples in by_split.items()},
        boxes={split: sum(len(sample.boxes) for sample in samples) for split, samples in by_split.items()},
        lost_regions=sum(len(sample.ignore) for sample in everything) if spec.format_name == "yolo" else 0,
    )


def _copy(uri: str, folder: Folder, name: str) -> None:
    folder.write_bytes(name, read_bytes(uri))


def _link(uri: str, folder: Folder, name: str) -> None:
    path = Path(folder.path(name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.link(uri, path)
    except OSError as fault:
        raise DataError(
            f"Expected {uri} and {folder.uri} on one file system, for YOLO without copies of the images, "
            f"got: {fault.strerror}. Export with copies."
        ) from fault


def _promised(sample: Sample) -> Sample:
    """The image, its soft labels as ignore regions."""
    soft = tuple(Region(*box.xyxy, "unsure") for box in sample.boxes if box.source is Source.SOFT)
    kept = tuple(box for box in sample.boxes if box.source is not Source.SOFT)
    return replace(sample, boxes=kept, ignore=(*sample.ignore, *soft)) if soft else sample


def _would_mislead(sample: Sample, format_name: str) -> bool:
    """Whether what nobody answered would pass for background: YOLO's labels know no ignored regions."""
    return format_name == "yolo" and sample.is_answered_in_part


def _purpose(sample: Sample) -> str:
    return str(Split.TRAIN if sample.split is Split.POOL else sample.split)


def _require_labels(samples: Sequence[Sample], labels: Sequence[str]) -> None:
    unknown = sorted({box.label for sample in samples for box in sample.boxes} - set(labels))
    if unknown:
        raise DataError(
            f"Expected labels among {', '.join(labels)}, the version also holds {', '.join(unknown)}. "
            f"Add them to data.labels."
        )


def _copied_names(samples: Sequence[Sample], folder: Folder) -> tuple[str, Mapping[str, str]]:
    """Plain file names; images that would share a name or a label file carry their id in it."""
    paths = {sample.image_id: PurePosixPath(_readable_name(sample.uri)) for sample in samples}
    stems = Counter(path.stem for path in paths.values())
    names = {
        image_id: path.name if stems[path.stem] == 1 else f"{path.stem}-{image_id[:16]}{path.suffix}"
        for image_id, path in paths.items()
    }
    return folder.path("images"), names


def _readable_name(uri: str) -> str:
    """A file name that readers take up as it is: they pass over hidden files, and strip spaces in XML."""
    name = PurePosixPath(uri).name.strip()
    return f"_{name}" if name.startswith(".") else name


def _names_in_place(samples: Sequence[Sample]) -> tuple[str, Mapping[str, str]]:
    levels = zip(*(sample.uri.split("/")[:-1] for sample in samples), strict=False)
    root = "/".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))
    if root.endswith(":/") or not all(sample.uri.startswith(f"{root}/") for sample in samples):
        raise DataError(
            f"Expected images with a folder in common, got {samples[0].uri} and others elsewhere. Export with copies."
        )
    return root or "/", {sample.image_id: sample.uri[len(root) + 1 :] for sample in samples}
