"""Going back to before a cycle that was not finished."""

from __future__ import annotations

from pipeline.artefacts import GateOutcome
from pipeline.cycle import unfinished_cycle
from pipeline.dataset.store import SampleStore
from pipeline.detector.models.registry import reinstate
from pipeline.errors import PipelineError
from pipeline.settings import Settings
from pipeline.workspace import Workspace


def discard_cycle(settings: Settings) -> int:
    """Drop the cycle that was not finished, and what it committed.

    The champion before it is champion again; models that it trained stay on disk.

    Returns:
        Its number.

    Raises:
        PipelineError: There is none.
    """
    workspace, number = Workspace(settings.workspace), unfinished_cycle(settings)
    if number is None:
        raise PipelineError("Expected an unfinished cycle to discard, found none.")
    store = SampleStore(workspace.samples_uri)
    history = store.history() if store.exists() else []
    before = [version.number for version in history if version.cycle is None or version.cycle < number]
    if before:
        store.restore(max(before), f"cycle {number} discarded")
    folder = workspace.cycle(number)
    if folder.exists(GateOutcome.FILE):
        reinstate(workspace.models, folder.read_record(GateOutcome.FILE, GateOutcome).champion)
    workspace.folder("cycles").remove(f"{number:04d}")
    return number
