"""The sample table as it stands, opened once for everybody who reads many versions of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pipeline.dataset.store import SampleStore
from pipeline.dataset.stored_table import StoredTable
from pipeline.dataset.versions import Version
from pipeline.errors import ArtefactError


class Snapshot(SampleStore):
    """A sample table for reading alone, which does not see what is committed after it was first read.

    Opening a version costs tens of milliseconds where there are hundreds, since the whole log is checked each time.
    """

    def history(self) -> list[Version]:
        """All versions, oldest first."""
        return list(self._history)

    def _open(self, version: int | None = None) -> StoredTable:
        latest = len(self._versions) - 1
        if version is not None and not 0 <= version <= latest:
            raise ArtefactError(f"Expected a dataset version from 0 to {latest}, got {version}.")
        return self._versions[latest if version is None else version]

    def _every(self) -> Sequence[StoredTable]:
        return self._versions

    @cached_property
    def _versions(self) -> list[StoredTable]:
        return list(super()._open().up_to_here())

    @cached_property
    def _history(self) -> list[Version]:
        return self._versions[-1].history()
