"""Reading the checkpoint that a killed run left."""

from __future__ import annotations

import io
import zipfile
from typing import Any, TypedDict

import torch
from torch import Tensor

from pipeline.errors import ArtefactError
from pipeline.folder import Folder

CHECKPOINT = "checkpoint.pt"

StateDict = dict[str, Any]
"""What torch gives for a part of a run, and takes back."""


class RunState(TypedDict):
    """Everything that a run goes on from.

    Attributes:
        model: The student.
        teacher: The averaged weights.
        optimizer: The optimiser.
        schedule: The learning rate's.
        precision: The scaler of half precision.
        groups: Outputs and inputs of grouped convolutions, by name.
        slower: What rollbacks multiplied the learning rate by.
        steps: How long the run is.
        means: Losses that divergence is told from.
        result: `TrainingResult.state_dict`.
        logged: Losses since the last entry of the curve.
    """

    model: StateDict
    teacher: StateDict
    optimizer: StateDict
    schedule: StateDict
    precision: StateDict
    groups: dict[str, tuple[Tensor, ...]]
    slower: float
    steps: int
    means: list[float]
    result: StateDict
    logged: list[dict[str, float]]


class Checkpoint(RunState):
    """What a checkpoint holds: the state, and which run it is of."""

    identity: str


def read_checkpoint(checkpoints: Folder, identity: str) -> Checkpoint | None:
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
        state: Checkpoint = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return state if state["identity"] == identity else None
    except Exception as fault:  # torch raises a dozen kinds for a damaged file
        raise no_checkpoint(checkpoints, fault) from fault


def no_checkpoint(checkpoints: Folder, fault: Exception) -> ArtefactError:
    """What to say of a checkpoint that cannot be continued."""
    path = checkpoints.path(CHECKPOINT)
    return ArtefactError(f"{path}: expected a checkpoint, got {fault!r}. Remove it and run again.")
