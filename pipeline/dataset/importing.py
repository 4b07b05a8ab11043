"""From configured sources to the samples that a version should hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import pyarrow as pa

from pipeline.dataset.checks import check_entries
from pipeline.dataset.formats import read_entries
from pipeline.dataset.formats.entry import ImportResult
from pipeline.dataset.splits import separate
from pipeline.settings import DataSettings, SourceSettings

Progress = Callable[[int, int], None]
"""Called with (done, total) while pictures are read."""


def read_source(
    source: SourceSettings, data: DataSettings, now: datetime, progress: Progress | None = None
) -> ImportResult:
    """Read one source and check every picture in it.

    Args:
        source: Where pictures and labels lie.
        data: Class names and bounds.
        now: Creation time of the boxes, UTC.
        progress: Called after each picture.

    Returns:
        Samples, each `image_id` once, and issues.

    Raises:
        DataError: A file is missing or malformed, a path leaves its folder, or a label is unknown.
        RemoteError: The storage cannot be reached.
    """
    entries = read_entries(source.format, source.annotations, source.images, data.labels)
    return check_entries(entries, source.split, data, now, progress)


def read_sources(
    sources: Iterable[SourceSettings],
    data: DataSettings,
    now: datetime,
    existing: pa.Table | None = None,
    progress: Progress | None = None,
) -> ImportResult:
    """Read several sources and settle duplicates among them and with the table.

    Args:
        sources: Read in order.
        data: Class names and bounds.
        now: Creation time of the boxes, UTC.
        existing: All rows of the table, with `SAMPLE_SCHEMA`; None for the first import.
        progress: Called after each picture of a source.

    Returns:
        The samples to commit (new rows, and rows of the table that change) and all issues; no samples where the
        table holds everything already.

    Raises:
        DataError: As `read_source`.
        RemoteError: As `read_source`.
    """
    found = ImportResult.join(read_source(source, data, now, progress) for source in sources)
    return separate(found, data.near_duplicate_bits, existing)
