"""The champion of a workspace, when its pointer is lost as well: no model may replace it without the gate."""

from __future__ import annotations

from pipeline.artefacts import GateOutcome
from pipeline.detector.models.registry import CHAMPION, champion_id
from pipeline.errors import ArtefactError
from pipeline.workspace import Workspace


def champion_of(workspace: Workspace) -> str | None:
    """The model in use; None before the first.

    Raises:
        ArtefactError: The pointer is missing or damaged although a gate has promoted a model; the message names the
            command that writes it anew. It is not written here: a rollback may have gone back to another model.
    """
    promoted = last_promoted(workspace)
    try:
        champion = champion_id(workspace.models)
    except ArtefactError as fault:
        raise ArtefactError(f"{fault} {_remedy(promoted)}") from fault
    if champion is None and promoted is not None:
        raise ArtefactError(
            f"Expected the champion in {workspace.models.path(CHAMPION)}, found none. {_remedy(promoted)}"
        )
    return champion


def require_champion(workspace: Workspace, purpose: str) -> str:
    """The model in use.

    Args:
        workspace: Whose.
        purpose: What for, as in "to evaluate".

    Raises:
        ArtefactError: There is none yet, or as for `champion_of`.
    """
    champion = champion_of(workspace)
    if champion is None:
        raise ArtefactError(f"Expected a champion {purpose}, found none. Run `crosscheck finetune` first.")
    return champion


def last_promoted(workspace: Workspace) -> str | None:
    """The model that the gate of the newest cycle promoted; None where none ever did."""
    for number in reversed(workspace.cycles()):
        folder = workspace.cycle(number)
        if folder.exists(GateOutcome.FILE):
            outcome = folder.read_record(GateOutcome.FILE, GateOutcome)
            if outcome.promoted:
                return outcome.candidate
    return None


def _remedy(promoted: str | None) -> str:
    if promoted is None:
        return "`crosscheck models list` tells which models there are."
    return (
        f"The last gate that promoted chose {promoted}: `crosscheck models promote {promoted}` makes it champion again."
    )
