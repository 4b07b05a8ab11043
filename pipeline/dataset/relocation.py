"""Images that have moved: their addresses are written anew, once every file was found and hashed at its new place."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.hashed_files import require_files
from pipeline.dataset.store import SampleStore
from pipeline.errors import DataError
from pipeline.progress import Progress, silent
from pipeline.records import SAMPLE_SCHEMA, State


@dataclass(frozen=True, slots=True)
class Move:
    """From which folder to which; absolute paths or URIs without a slash at the end."""

    old: str
    new: str


def relocate(
    store: SampleStore, move: Move, *, settings_digest: str = "", progress: Progress = silent
) -> tuple[int, int]:
    """Give the images below a folder their addresses below another one, as a new version.

    Args:
        store: The sample table.
        move: The folders.
        settings_digest: Settings in use.
        progress: Called after every thousand images.

    Returns:
        (images whose address changed, number of the version that holds them).

    Raises:
        DataError: No image lies below the old folder, or a file is not at its new place, or is another one; nothing is
            written then. Images in quarantine may be missing.
        ArtefactError: There is no table, or somebody else committed at the same time.
    """
    version = store.version()
    batches = [_moved(pa.Table.from_batches([batch]), move) for batch in store.stream(version)]
    rows = pa.concat_tables([SAMPLE_SCHEMA.empty_table(), *batches])
    if not len(rows):
        raise DataError(
            f"Expected images below {move.old} in {store.uri}, found none. `crosscheck versions verify` names where "
            "images are looked for."
        )
    usable = rows.filter(pc.field("state") != State.QUARANTINED.value)
    files = zip(usable["image_id"].to_pylist(), usable["uri"].to_pylist(), strict=True)
    require_files(list(files), "at their new place", progress)
    reason = f"{len(rows)} images moved from {move.old} to {move.new}"
    key = f"relocate {move.old} to {move.new} at version {version}"
    return len(rows), store.commit(rows, reason=reason, key=key, settings_digest=settings_digest)


def _moved(rows: pa.Table, move: Move) -> pa.Table:
    """The rows below the old folder, with their new addresses."""
    own = rows.filter(pc.starts_with(rows["uri"], f"{move.old}/"))
    below = pc.utf8_slice_codeunits(own["uri"], start=len(move.old))
    addresses = pc.binary_join_element_wise(pa.scalar(move.new), below, "")
    return own.set_column(own.column_names.index("uri"), SAMPLE_SCHEMA.field("uri"), addresses)
