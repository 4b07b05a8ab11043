"""Importing what the configured sources hold and the sample table does not."""

from __future__ import annotations

import logging
from datetime import datetime

from pipeline.artefacts import ImportRun, ImportSummary
from pipeline.cycle import Cycle
from pipeline.dataset.import_log import ImportLog, commit_import
from pipeline.dataset.importing import read_sources
from pipeline.dataset.store import SampleStore
from pipeline.errors import DataError
from pipeline.labeling.annotators import simulated_annotator
from pipeline.progress import Progress, silent
from pipeline.settings import Settings
from pipeline.workspace import Workspace

LOG = logging.getLogger(__name__)


def import_new(cycle: Cycle, progress: Progress = silent) -> ImportRun:
    """Import once per cycle, and list the issues of every import since the cycle before."""

    def run() -> ImportRun:
        version = import_sources(cycle.settings, cycle.opened_at, progress).version
        log, before = ImportLog(cycle.workspace), cycle.before()
        issues = log.issues_since(before.read(ImportRun).imports if before else 0)
        return ImportRun(version=version, imports=len(log), issues=issues)

    return cycle.once(ImportRun, run)


def import_sources(settings: Settings, now: datetime, progress: Progress = silent) -> ImportSummary:
    """Import images that the sample table does not know yet; what it knows stays as it is.

    In a simulated project the hidden labels' images join the pool at the first import, without their boxes but for the
    few that the annotator gives away.

    Args:
        settings: The sources.
        now: UTC; imported boxes carry it.
        progress: Called after every image.

    Raises:
        DataError: A source is malformed, or there is nothing at all.
        RemoteError: A storage cannot be reached.
    """
    workspace = Workspace(settings.workspace)
    store = SampleStore(workspace.samples_uri)
    first = not store.exists()
    simulated = first and settings.labeling.backend == "simulated"
    result = read_sources(
        settings.data,
        now,
        store,
        progress,
        also=[simulated_annotator(settings).opening(now)] if simulated else [],
    )
    if first and not result.samples:
        raise DataError("Expected images to import, found none. Name them in data.sources.")
    refused = [f"{issue.uri}: {issue.detail}" for issue in result.issues if issue.problem == "refused"]
    if refused:
        LOG.warning("%d of the sources' files left out; the first is %s", len(refused), refused[0])
    summary = commit_import(store, result, settings.digest())
    if result.samples or result.issues:
        ImportLog(workspace).add(summary)
    return summary
