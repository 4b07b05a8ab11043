"""Train one model in processes that torchrun has started, on one machine or several, and save it in the workspace.

`torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 scripts/train.py --config F` on
each machine, with `training.nodes: 2` and `training.devices: 4` in the settings. It learns what `crosscheck finetune`
would, and promotes nothing: for that see `crosscheck evaluate --model ID` and `crosscheck models promote ID`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch.distributed

from pipeline.dataset.store import SampleStore
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.detector import Detector
from pipeline.detector.models.registry import ModelCard
from pipeline.detector.models.saved import save_model
from pipeline.detector.training.fit import TrainingJob, fit
from pipeline.detector.training.start import starting_point
from pipeline.folder import Folder
from pipeline.records import Split
from pipeline.selection.boosting import errors_of_champion
from pipeline.settings import Settings, lasting_digest, load_settings
from pipeline.workspace import Workspace

CHECKPOINTS = "torchrun"


@dataclass(frozen=True)
class Start:
    """What a run begins with; the same in every process.

    Attributes:
        settings: The project.
        version: Of its dataset.
        parent: The champion; None where there is none.
    """

    settings: Settings
    version: int
    parent: str | None

    @property
    def checkpoints(self) -> Folder:
        """Where a killed run goes on from."""
        return Workspace(self.settings.workspace).folder(CHECKPOINTS)

    @property
    def job(self) -> TrainingJob:
        """What is learnt."""
        settings, store = self.settings, SampleStore(Workspace(self.settings.workspace).samples_uri)
        identity = f"{lasting_digest(settings)} {settings.seed} {self.version} {self.parent}"
        val = store.labeled(Split.VAL)
        samples = store.training()
        errors = errors_of_champion(settings, Workspace(settings.workspace), self.parent, samples)
        return TrainingJob(settings, samples, val, settings.seed, self.checkpoints, identity, errors=errors)


def train(settings: Settings) -> str | None:
    """Train; returns the model's id in the first process, which saves it."""
    workspace = Workspace(settings.workspace)
    start = Start(settings, SampleStore(workspace.samples_uri).version(), champion_of(workspace))
    job = start.job
    detector = starting_point(workspace.models, start.parent, settings, settings.seed, job.samples)
    fit(detector, job)
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return None
    return _saved(start, detector)


def _saved(start: Start, detector: Detector) -> str:
    settings, workspace = start.settings, Workspace(start.settings.workspace)
    card = ModelCard(
        settings.data.labels, settings.detector, settings.training, start.version, start.parent,
        max(workspace.cycles(), default=0), settings.seed,
    )  # fmt: skip
    workspace.remove(CHECKPOINTS)
    return save_model(workspace.models, detector, card)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="settings of the project")
    model_id = train(load_settings(parser.parse_args().config))
    if model_id:
        print(f"Model {model_id}. Next: crosscheck evaluate --model {model_id}")
