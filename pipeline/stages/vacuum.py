"""Making room: the rows of old versions that no tag, no model and no report needs."""

from __future__ import annotations

from pipeline.cycle import between_cycles
from pipeline.dataset.row_removal import Removal, remove_rows
from pipeline.dataset.store import SampleStore
from pipeline.detector.models.dataset_versions import needed_versions
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def vacuum(settings: Settings, keep: int, *, apply: bool) -> Removal:
    """Remove the rows of versions, but for the newest, those with a tag and those that a model learnt from.

    Args:
        settings: The project.
        keep: So many of the newest versions stay, at least 1.
        apply: Remove; otherwise only tell what would go.

    Raises:
        ArtefactError: There is no sample table.
        PipelineError: A cycle is under way, or another run.
    """
    workspace = Workspace(settings.workspace)
    with between_cycles(settings, "and may need any version"):
        store = SampleStore(workspace.samples_uri)
        latest = store.version()
        newest = range(max(0, latest + 1 - keep), latest + 1)
        needed = {version for version in needed_versions(workspace) if version <= latest}
        return remove_rows(store.uri, {*newest, *needed}, apply=apply)
