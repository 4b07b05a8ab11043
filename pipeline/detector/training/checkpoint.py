"""Reading the checkpoint that a killed run left."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import torch

from pipeline.errors import ArtefactError
from pipeline.folder import Folder

CHECKPOINT = "checkpoint.pt"


def read_checkpoint(checkpoints: Folder, identity: str) -> dict[str, Any] | None:
    """Read the checkpoint of a run.

    Returns:
        Its contents; None where there is none, or one of another run.

    Raises:
        ArtefactError: It is damaged.
    """
    if not checkpoints.exists(CHECKPOINT):
        return None
    data = checkpoints.read_bytes(CHECKPOINT)
    try:
        torn = zipfile.ZipFile(io.BytesIO(data)).testzip()
        if torn is not None:
            raise ValueError(f"a wrong checksum of {torn}")
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return state if state["identity"] == identity else None
    except Exception as fault:  # torch raises a dozen kinds for a damaged file
        raise no_checkpoint(checkpoints, fault) from fault


def no_checkpoint(checkpoints: Folder, fault: Exception) -> ArtefactError:
    """What to say of a checkpoint that cannot be continued."""
    path = checkpoints.path(CHECKPOINT)
    return ArtefactError(f"{path}: expected a checkpoint, got {fault!r}. Remove it and run again.")
