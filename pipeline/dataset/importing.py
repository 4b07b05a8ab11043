"""From configured sources to the samples that a version should hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from pipeline.dataset.checks import check_entries
from pipeline.dataset.formats import read_entries
from pipeline.dataset.formats.entry import ImportResult
from pipeline.dataset.splits import separate
from pipeline.dataset.store import SampleStore
from pipeline.progress import Progress, silent
from pipeline.records import State
from pipeline.settings import DataSettings, SourceSettings


def read_source(
    source: SourceSettings,
    data: DataSettings,
    now: datetime,
    progress: Progress = silent,
    known: Collection[str] = (),
) -> ImportResult:
    """Read one source and check every image in it.

    Args:
        source: Where images and labels lie.
        data: Class names and bounds.
        now: Creation time of the boxes, UTC.
        progress: Called after each image.
        known: URIs that are passed over unread.

    Returns:
        Samples, each `image_id` once, and issues.

    Raises:
        DataError: A file is missing or malformed, a path leaves its folder, or a label is unknown.
        RemoteError: The storage cannot be reached.
    """
    entries = read_entries(source.format, source.annotations, source.images, data.labels)
    unknown = (entry for entry in entries if entry.uri not in known)
    return check_entries(unknown, source.split, data, now, progress)


def read_sources(
    data: DataSettings,
    now: datetime,
    store: SampleStore | None = None,
    progress: Progress = silent,
    also: Iterable[ImportResult] = (),
) -> ImportResult:
    """Read several sources and settle duplicates among them and with the table.

    Unlabelled images that the table holds are not opened again, so that a nightly look at a large pool is quick;
    labelled sources are, because their labels may be newer, and quarantined images are, because they may be mended.

    Args:
        data: Sources, read in order, class names and bounds.
        now: Creation time of the boxes, UTC.
        store: The table; none, or one without a version, for the first import.
        progress: Called after each image of a source.
        also: What was found elsewhere, joined after the sources.

    Returns:
        The samples to commit (new rows, and rows of the table that change) and all issues; no samples where the
        table holds everything already.

    Raises:
        DataError: As `read_source`.
        RemoteError: As `read_source`.
    """
    known = _readable_uris(store) if store is not None and store.exists() else frozenset()
    found = (
        read_source(source, data, now, progress, known if source.format == "images" else ()) for source in data.sources
    )
    return separate(ImportResult.join([*found, *also]), data.near_duplicate_bits, store)


def _readable_uris(store: SampleStore) -> frozenset[str]:
    return frozenset(store.table(columns=["uri"], states=set(State) - {State.QUARANTINED})["uri"].to_pylist())
