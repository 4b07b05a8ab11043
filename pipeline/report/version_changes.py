"""What versions changed against their parents, worked out once for all pages, since versions never change."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.cycle import Cycle
from pipeline.dataset.diff import ChangeCounts, diff_versions
from pipeline.dataset.versions import Version
from pipeline.errors import RowsGoneError
from pipeline.folder import Folder
from pipeline.report.compared_versions import Comparison


def changes_of(cycle: Cycle, versions: Sequence[Version]) -> dict[int, ChangeCounts]:
    """What each version changed, by number; the first is left out, and those whose rows were gone uncounted."""
    return {version.number: change for version in versions if (change := _change(cycle, version))}


def comparison_of(cycle: Cycle, version: Version) -> Comparison:
    """What the page of a version that has a parent shows of its changes.

    Raises:
        RowsGoneError: It was never compared with as many images as the settings want, and its rows were removed.
    """
    kept, name, most = _kept(cycle), _images_file(version), cycle.settings.report.gallery_images
    if kept.exists(name):
        found = kept.read_record(name, Comparison)
        if found.serves(most):
            return found
    return _compared(cycle, version)


def _change(cycle: Cycle, version: Version) -> ChangeCounts | None:
    if version.parent is None:
        return None
    kept, name = _kept(cycle), _counts_file(version)
    if not kept.exists(name):
        try:
            _compared(cycle, version)
        except RowsGoneError:
            return None
    return kept.read_record(name, ChangeCounts)


def _compared(cycle: Cycle, version: Version) -> Comparison:
    """Compare a version with its parent, and keep the outcome."""
    assert version.parent is not None, "the first version changed nothing"
    before, after = cycle.store.changed_rows(version.parent, version.number)
    changes = diff_versions(before, after)
    found = Comparison.of(before, after, changes, cycle.settings.report.gallery_images)
    kept = _kept(cycle)
    kept.write_record(_images_file(version), found, indent=None)
    kept.write_record(_counts_file(version), changes.counts())
    return found


def _kept(cycle: Cycle) -> Folder:
    return cycle.workspace.folder("diffs")


def _counts_file(version: Version) -> str:
    return f"{version.number:06d}.json"


def _images_file(version: Version) -> str:
    return f"{version.number:06d}-images.json"
