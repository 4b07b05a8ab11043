"""Fine-tuning a candidate from the champion."""

from __future__ import annotations

from pipeline.artefacts import CommitteeRun, TrainingRun
from pipeline.cycle import Cycle
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.registry import ModelCard
from pipeline.detector.models.saved import save_model
from pipeline.detector.training.checkpoint import CHECKPOINT
from pipeline.detector.training.fit import TrainingJob, fit
from pipeline.detector.training.length import steps_of_champion
from pipeline.detector.training.start import goes_on, starting_point
from pipeline.progress import Progress, silent
from pipeline.records import Split
from pipeline.seeds import cycle_seed
from pipeline.selection.boosting import errors_of_champion
from pipeline.settings import Settings, lasting_digest


def finetune(cycle: Cycle, progress: Progress = silent) -> TrainingRun:
    """Train a candidate from the champion, or from pretrained weights for the first; a killed run goes on.

    Where there is a committee, the run is as long as its members found, and the candidate keeps their record.

    Args:
        cycle: The cycle.
        progress: Called after every step, and as images are looked at before.

    Raises:
        DataError: No image to learn from.
    """
    made = cycle.once(TrainingRun, lambda: _train(cycle, progress))
    cycle.folder.remove(CHECKPOINT)
    return made


def _train(cycle: Cycle, progress: Progress) -> TrainingRun:
    settings, models = cycle.settings, cycle.workspace.models
    parent, version = champion_of(cycle.workspace), cycle.store.version()
    samples = cycle.store.training()
    seed = cycle_seed(settings.seed, cycle.number)
    detector, committee = starting_point(models, parent, settings, seed, samples), cycle.find(CommitteeRun)
    job = TrainingJob(
        settings,
        samples,
        cycle.store.labeled(Split.VAL),
        seed,
        cycle.folder,
        identity=f"{lasting_digest(settings)} {seed} {version} {parent}",
        steps=_steps(settings, committee, first=not goes_on(models, parent, settings)),
        errors=errors_of_champion(settings, cycle.workspace, parent, samples, progress),
    )
    run = fit(detector, job, progress)
    candidate = save_model(models, detector, ModelCard.of(settings, version, parent, cycle.number))
    if committee:
        models.folder(candidate).write_record(CommitteeRun.FILE, committee)
    return TrainingRun(candidate=candidate, parent=parent, dataset_version=version, run=run)


def _steps(settings: Settings, committee: CommitteeRun | None, *, first: bool) -> int | None:
    """How long the run is by what members found; None without a committee."""
    if committee is None:
        return None
    return steps_of_champion(settings.training, [member.run for member in committee.members], first=first)
