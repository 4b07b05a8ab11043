"""Bringing back what an earlier version holds: all of it, or some images."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pipeline.dataset.diff import VersionDiff, diff_stored, diff_versions
from pipeline.dataset.store import SampleStore
from pipeline.dataset.versions import Version
from pipeline.errors import DataError

_FROM, _IMAGES = "images_restored_from", "images_restored"


def restored_difference(store: SampleStore, version: int, image_ids: Collection[str]) -> VersionDiff:
    """What bringing back would change.

    Args:
        store: The sample table.
        version: Number of the version to bring back.
        image_ids: Only these images; all where there are none.

    Raises:
        ArtefactError: There is no such version.
        DataError: It does not hold one of the images.
        RowsGoneError: Its rows were removed.
    """
    if not image_ids:
        return diff_stored(store, store.version(), version)
    _require_held(store, version, image_ids)
    return diff_versions(store.rows_of(image_ids), store.rows_of(image_ids, version))


def restore_images(store: SampleStore, version: int, image_ids: Collection[str], reason: str) -> int:
    """Bring back the rows of some images, as a new version; all other rows stay as they are.

    Args:
        store: The sample table.
        version: Number of the version that holds them as wanted.
        image_ids: Which images.
        reason: Why, in words for a person.

    Returns:
        Number of the new version; of the latest one where it holds these rows already.

    Raises:
        ArtefactError: There is no such version, or somebody else committed at the same time.
        DataError: It does not hold one of the images.
        RowsGoneError: Its rows were removed.
    """
    _require_held(store, version, image_ids)
    rows, latest = store.rows_of(image_ids, version), store.version()
    if rows.equals(store.rows_of(image_ids)):
        return latest
    key = f"images of version {version} onto {latest}"
    return store.commit(rows, reason=reason, key=key, details={_FROM: version, _IMAGES: sorted(image_ids)})


def restores_images(version: Version) -> bool:
    """Tell whether a version brought back some images."""
    return _IMAGES in version.details


def is_undone(image_id: str, changed_in: int, restoring: Iterable[Version]) -> bool:
    """Tell whether a change of an image was undone by bringing that image back.

    Args:
        image_id: The image.
        changed_in: The version that changed it.
        restoring: Versions that brought back some images.
    """
    return any(
        version.details[_FROM] < changed_in < version.number and image_id in version.details[_IMAGES]
        for version in restoring
    )


def _require_held(store: SampleStore, version: int, image_ids: Collection[str]) -> None:
    held = set(store.rows_of(image_ids, version, ["image_id"])["image_id"].to_pylist())
    if later := sorted(set(image_ids) - held):
        raise DataError(f"Expected version {version} to hold image {later[0]}, which came into the dataset later.")
