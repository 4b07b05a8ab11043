"""SHA-256 of every file of the sample table, kept beside it: a changed byte or a lost file is reported, never read.

Delta Lake checks neither its log nor its rows, and takes a table whose newest log file is lost for the older one. Each
version has one file of checksums, written right after its commit; where a killed run did not come to that, and for
tables of earlier releases, the next commit makes up for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.json_text import parse_json

LOG, SUMS, HINT = "_delta_log", "_checksums", "_last_checkpoint"
_DIGITS = 20
_REMEMBERED = 100_000
_BACKUP = "Bring the file back from a backup. `crosscheck versions verify` lists every damaged file."


@dataclass(frozen=True, slots=True)
class Checksums:
    """SHA-256 of what one commit wrote.

    Attributes:
        log: By name, of its files in the log.
        rows: By name, of the files of rows that it put into the table.
    """

    MADE_BY: ClassVar[str] = "the command that commits"
    REMEDY: ClassVar[str] = "Remove the file: the next commit writes it anew from what is there."

    log: Mapping[str, str]
    rows: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TableDamage:
    """A file of the table that is not what was written, and what was found."""

    file: str
    found: str


def seal(table: Folder) -> None:
    """Write the checksums of every version that has none."""
    for number in sorted(_logged(table) - _sealed(table)):
        table.folder(SUMS).write_record(_file(number), _checksums(table, number))


def is_sealed(table: Folder) -> bool:
    """Tell whether a version was ever committed."""
    return bool(_sealed(table))


def require_whole_log(table: Folder) -> None:
    """See that no file of the log is lost, and, where reading is cheap, that none is changed.

    Raises:
        ArtefactError: One is; nothing can be read then.
    """
    for damage in _damaged_log(table, hashed=_is_local(table)):
        raise ArtefactError(f"{damage.file}: {damage.found}. {_BACKUP}")


class RowSums:
    """The checksums of a table's files of rows, read when they are first asked for.

    Args:
        table: Its folder.
    """

    def __init__(self, table: Folder) -> None:
        self._table = table

    def require_whole(self, files: Iterable[str]) -> None:
        """See that files of rows are what was committed; object stores check what they hold themselves.

        Raises:
            ArtefactError: One is not.
        """
        for name in files if _is_local(self._table) else ():
            if name in self._known and self._table.exists(name):
                damage = _changed(self._table, name, self._known[name])
                if damage:
                    raise ArtefactError(f"{damage.file}: {damage.found}. {_BACKUP}")

    @cached_property
    def _known(self) -> dict[str, str]:
        return _known_rows(self._table)


def damaged_files(table: Folder) -> list[TableDamage]:
    """Read every file of every version, and name those that are not what was written; removed rows are no damage."""
    _remembered_sha256.cache_clear()
    found = list(_damaged_log(table, hashed=True))
    for name, expected in sorted(_known_rows(table).items()) if not found else ():
        if table.exists(name):
            found += filter(None, [_changed(table, name, expected)])
    return found


def _damaged_log(table: Folder, hashed: bool) -> Iterator[TableDamage]:
    # In this order: a version that another process commits in between is logged before it is sealed.
    sealed = _sealed(table)
    log, logged = table.folder(LOG), _logged(table)
    for number in sorted({*sealed, *range(max(logged, default=-1))} - logged):
        yield TableDamage(log.path(_file(number)), f"expected the log of version {number}, found nothing")
    if not hashed:
        return
    for number in sorted(logged):
        if number not in sealed:
            yield from _unreadable(log, number)
            continue
        for name, expected in _read_sums(table, number).log.items():
            yield from filter(None, [_changed(log, name, expected)])
    yield from _misleading(log)


def _misleading(log: Folder) -> Iterator[TableDamage]:
    """The hint at the newest checkpoint is written in place and has no checksum: it must name one that is there."""
    if not log.exists(HINT):
        return
    try:
        hint: Any = parse_json(log.read_bytes(HINT))
        names = f"{int(hint['version']):0{_DIGITS}}.checkpoint"
    except (ValueError, TypeError, KeyError):
        names = "?"
    if not any(name.startswith(names) for name in log.names()):
        yield TableDamage(log.path(HINT), "expected the number of a checkpoint, found something else")


def _unreadable(log: Folder, number: int) -> Iterator[TableDamage]:
    """A log without checksums must at least be JSON, line by line."""
    try:
        whole = any("commitInfo" in action for action in _actions(log, number))
    except (ValueError, TypeError):
        whole = False
    if not whole:
        yield TableDamage(log.path(_file(number)), f"expected the log of version {number}, found a truncated one")


def _checksums(table: Folder, number: int) -> Checksums:
    log, known = table.folder(LOG), _known_rows(table)
    own = [name for name in log.names() if name.startswith(f"{number:0{_DIGITS}}.")]
    added = [action["add"]["path"] for action in _actions(log, number) if "add" in action]
    # A version that brings back older rows has their checksum of then: what was damaged since stays so.
    rows = {name: known.get(name) or _sha256(table, name) for name in added if name in known or table.exists(name)}
    return Checksums({name: _sha256(log, name) for name in own}, rows)


def _actions(log: Folder, number: int) -> list[dict[str, Any]]:
    return [parse_json(line) for line in log.read_bytes(_file(number)).splitlines() if line]


def _known_rows(table: Folder) -> dict[str, str]:
    return {name: sum_ for number in sorted(_sealed(table)) for name, sum_ in _read_sums(table, number).rows.items()}


def _changed(folder: Folder, name: str, expected: str) -> TableDamage | None:
    if not folder.exists(name):
        return TableDamage(folder.path(name), "expected a file of the table, found nothing")
    if _sha256(folder, name) == expected:
        return None
    return TableDamage(folder.path(name), "expected the bytes that were committed, found others (SHA-256)")


def _logged(table: Folder) -> set[int]:
    return _numbers(table.folder(LOG).names())


def _sealed(table: Folder) -> set[int]:
    return _numbers(table.folder(SUMS).names())


def _numbers(names: Iterable[str]) -> set[int]:
    stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
    return {int(stem) for stem in stems if stem.isdecimal()}


def _file(number: int) -> str:
    return f"{number:0{_DIGITS}}.json"


def _is_local(table: Folder) -> bool:
    return "://" not in table.uri


def _read_sums(table: Folder, number: int) -> Checksums:
    sums, name = table.folder(SUMS), _file(number)
    if not _is_local(table):
        return sums.read_record(name, Checksums)
    return _remembered_sums(sums.path(name), *_state(sums, name))


def _sha256(folder: Folder, name: str) -> str:
    if not _is_local(folder):
        return hashlib.sha256(folder.read_bytes(name)).hexdigest()
    return _remembered_sha256(folder.path(name), *_state(folder, name))


def _state(folder: Folder, name: str) -> tuple[int, int]:
    found = Path(folder.path(name)).stat()
    return found.st_size, found.st_mtime_ns


# A file is read once in a process, unless its size or time says that it was written since.


@lru_cache(_REMEMBERED)
def _remembered_sums(path: str, _size: int, _mtime_ns: int) -> Checksums:
    file = Path(path)
    return Folder(file.parent).read_record(file.name, Checksums)


@lru_cache(_REMEMBERED)
def _remembered_sha256(path: str, _size: int, _mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
