"""Importing what the configured sources hold and the sample table does not."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pipeline.dataset.formats.entry import ImportResult
from pipeline.dataset.importing import read_sources
from pipeline.dataset.store import SampleStore
from pipeline.errors import DataError
from pipeline.records import State
from pipeline.settings import Settings
from pipeline.stages.backend import simulated_annotator
from pipeline.stages.cycle import Cycle, Progress, silent
from pipeline.workspace import Folder, Workspace


def import_folder(settings: Settings) -> Folder:
    """Where the outcome of each import lies, numbered."""
    return Workspace(settings.workspace).folder("imports")


def import_sources(settings: Settings, now: datetime, progress: Progress = silent) -> dict[str, Any]:
    """Import images that the sample table does not know yet; what it knows stays as it is.

    In a simulated project the hidden labels' images join the pool at the first import, without their boxes but for
    the few that the annotator gives away.

    Args:
        settings: The sources.
        now: UTC; imported boxes carry it.
        progress: Told after every image.

    Returns:
        The version, images by state and every issue; the version is the latest one where nothing is new.

    Raises:
        DataError: A source is malformed, or there is nothing at all.
        RemoteError: A storage cannot be reached.
    """
    store = SampleStore(Workspace(settings.workspace).samples_uri)
    existing = store.table() if store.exists() else None
    simulated = existing is None and settings.labeling.backend == "simulated"
    result = read_sources(
        settings.data.sources,
        settings.data,
        now,
        existing,
        lambda done, total: progress("reading images", done, total),
        also=[simulated_annotator(settings).opening(now)] if simulated else [],
    )
    if existing is None and not result.samples:
        raise DataError("Expected images to import, found none. Name them in data.sources.")
    return _commit(settings, store, result)


def _commit(settings: Settings, store: SampleStore, result: ImportResult) -> dict[str, Any]:
    version = store.version() if store.exists() else 0
    if result.samples:
        identity = "".join(sorted(sample.image_id for sample in result.samples))
        version = store.commit(
            result.samples,
            reason=f"import of {len(result.samples)} images",
            key=f"import {hashlib.sha256(identity.encode()).hexdigest()[:16]}",
            settings_digest=settings.digest(),
        )
    told = {
        "version": version,
        "images": dict(Counter(str(sample.state) for sample in result.samples)),
        "quarantined": sum(sample.state is State.QUARANTINED for sample in result.samples),
        "issues": [asdict(issue) for issue in result.issues],
    }
    folder = import_folder(settings)
    if result.samples or result.issues:
        folder.write_json(f"{len(folder.names()):06d}.json", told)
    return told


def import_new(cycle: Cycle, progress: Progress = silent) -> dict[str, Any]:
    """Import once a cycle.

    Args:
        cycle: The cycle.
        progress: Told after every image.

    Returns:
        `import.json`: the version, and the issues of every import since the cycle before.
    """

    def run() -> dict[str, Any]:
        version = import_sources(cycle.settings, cycle.opened_at, progress)["version"]
        folder = import_folder(cycle.settings)
        names, before = folder.names(), cycle.previous("import")
        new = [folder.read_json(name) for name in names[before["imports"] if before else 0 :]]
        issues = [issue for told in new for issue in told["issues"]]
        return {"version": version, "imports": len(names), "issues": issues}

    return cycle.once("import", run)
