"""What each import did: a version of the sample table, and a numbered summary of it."""

from __future__ import annotations

import hashlib
from collections import Counter

from pipeline.artefacts import ImportSummary
from pipeline.dataset.formats.entry import ImportResult
from pipeline.dataset.store import SampleStore
from pipeline.records import ImportIssue
from pipeline.workspace import Workspace


class ImportLog:
    """Summaries of imports, oldest first.

    Args:
        workspace: Of the project.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.folder("imports")

    def __len__(self) -> int:
        """How many imports there were."""
        return len(self._folder.names())

    def add(self, summary: ImportSummary) -> None:
        """Keep what the last import did."""
        self._folder.write_record(f"{len(self):06d}.json", summary)

    def issues_since(self, seen: int) -> tuple[ImportIssue, ...]:
        """What was wrong with files of all imports but the first `seen`, once however often it was met."""
        new = [self._folder.read_record(name, ImportSummary) for name in self._folder.names()[seen:]]
        return tuple(dict.fromkeys(issue for summary in new for issue in summary.issues))


def commit_import(store: SampleStore, result: ImportResult, settings_digest: str) -> ImportSummary:
    """Write what an import found as a version, where it found anything new.

    Args:
        store: The sample table, which the first import makes.
        result: New and changed rows, and issues.
        settings_digest: Settings in use.
    """
    version = store.version() if store.exists() else 0
    if result.samples:
        identity = "".join(sorted(sample.image_id for sample in result.samples))
        version = store.commit(
            result.samples,
            reason=f"import of {len(result.samples)} images",
            key=f"import {hashlib.sha256(identity.encode()).hexdigest()[:16]}",
            settings_digest=settings_digest,
        )
    return ImportSummary(version, dict(Counter(str(sample.state) for sample in result.samples)), result.issues)
