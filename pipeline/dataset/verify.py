"""Whether the table is what was committed and every image the file that was imported: all are read and hashed again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.dataset.checksums import damaged_files
from pipeline.dataset.images import file_id
from pipeline.dataset.store import SampleStore
from pipeline.errors import ImageFault
from pipeline.folder import Folder
from pipeline.progress import Progress, silent

_THREADS = 8
_TOGETHER = 1024


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what was imported or committed.

    Attributes:
        image_id: Of the image, as the table has it; empty for a file of the table itself.
        uri: The file.
        problem: `missing`, `changed`, or `unreadable`.
        detail: What was found.
    """

    image_id: str
    uri: str
    problem: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look at every file found: how many images the version holds, and what is not as imported or committed."""

    images: int
    damaged: tuple[Damage, ...]


def verify(store: SampleStore, version: int, progress: Progress = silent) -> Verification:
    """Read and hash every file of the table, then every image of a version.

    Args:
        store: The sample table.
        version: Its number.
        progress: Called after every thousand images.

    Returns:
        Damaged images in the order of `image_id`; none where every file is what was imported. Where the table itself is
        damaged, its files and no image.

    Raises:
        ArtefactError: There is no such version.
        RemoteError: A storage cannot be reached.
    """
    table = damaged_files(Folder(store.uri))
    if table:
        return Verification(0, tuple(Damage("", damage.file, "changed", damage.found) for damage in table))
    total = sum(len(batch) for batch in store.stream(version, ["image_id"]))
    damaged: list[Damage] = []
    done = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for batch in store.stream(version, ["image_id", "uri"], batch_rows=_TOGETHER):
            found = pool.map(_damage, batch["image_id"].to_pylist(), batch["uri"].to_pylist())
            damaged += [damage for damage in found if damage is not None]
            done += len(batch)
            progress("hashing images", done, total)
    return Verification(total, tuple(damaged))


def _damage(image_id: str, uri: str) -> Damage | None:
    try:
        found = file_id(uri)
    except ImageFault as fault:
        missing = isinstance(fault.__cause__, FileNotFoundError)
        return Damage(image_id, uri, "missing" if missing else "unreadable", fault.reason)
    return None if found == image_id else Damage(image_id, uri, "changed", f"its bytes are now those of {found}")
