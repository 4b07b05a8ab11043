"""Two versions compared for a page: numbers, and the images whose boxes changed most, before and after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.diff import DiffNumbers, VersionDiff
from pipeline.records import Sample, nested_rows, of_images, samples_from_table


@dataclass(frozen=True, slots=True)
class ImageChange:
    """An image in the old and in the new version; None where that version does not hold it."""

    before: Sample | None
    after: Sample | None

    @property
    def there(self) -> Sample:
        """The image, as the newer of the versions that hold it has it."""
        newest = self.after or self.before
        assert newest is not None, "an image whose boxes changed is in one of the versions"
        return newest


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a page shows of the changes between two versions; kept beside the versions' differences.

    Attributes:
        numbers: What changed.
        images: Those whose boxes changed, most changed boxes first.
        most: How many of them were to be kept.
    """

    MADE_BY: ClassVar[str] = "crosscheck report"

    numbers: DiffNumbers
    images: tuple[ImageChange, ...]
    most: int

    @classmethod
    def of(cls, before: pa.Table, after: pa.Table, changes: VersionDiff, most: int) -> Comparison:
        """Keep what a page shows.

        Args:
            before: Rows of the old version in which the versions may differ.
            after: Rows of the new one.
            changes: What did change.
            most: Most images to keep.
        """
        chosen = _most_changed(before, after, changes.box_images)[:most]
        old, new = _samples(before, chosen), _samples(after, chosen)
        images = tuple(ImageChange(old.get(image_id), new.get(image_id)) for image_id in chosen)
        return cls(changes.numbers(), images, most)

    def serves(self, most: int) -> bool:
        """Tell whether so many images can be shown, as far as there are any."""
        return len(self.images) >= min(most, self.numbers.box_images)


def _most_changed(before: pa.Table, after: pa.Table, image_ids: Iterable[str]) -> list[str]:
    """Images by how many boxes only one side has, most first."""
    ids = pa.array(list(image_ids), pa.string())
    old, new = (nested_rows(table, "boxes") for table in (before, after))
    changes = np.zeros(len(ids), dtype=np.int64)
    for one, other in ((old, new), (new, old)):
        alone = one.filter(pc.invert(pc.is_in(one["box_id"], other["box_id"].combine_chunks())))
        place = pc.index_in(alone["image_id"], value_set=ids).drop_null().to_numpy()
        changes += np.bincount(place, minlength=len(ids))
    order = np.argsort(-changes, kind="stable")
    return [str(name) for name in ids.take(pa.array(order)).to_pylist()]


def _samples(table: pa.Table, image_ids: Iterable[str]) -> dict[str, Sample]:
    return {sample.image_id: sample for sample in samples_from_table(table.filter(of_images(image_ids)))}
