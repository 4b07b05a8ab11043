"""Images that the champion gets wrong are drawn more often by the second training, and by its members."""

from __future__ import annotations

from importlib import import_module

import pytest

from pipeline.artefacts import CommitteeRun
from pipeline.detector.evaluation.image_errors import image_errors
from pipeline.detector.models.champion import champion_of
from pipeline.detector.training.checkpoint import CHECKPOINT
from pipeline.records import Split
from pipeline.selection.boosting import errors_of_champion
from pipeline.selection.cross_fitting import committee_of
from pipeline.selection.judging import Judge, detect_saved
from pipeline.stages.committee import train_committee
from pipeline.stages.finetune import finetune
from pipeline.stages.gate import gate
from tests.stages.crossfitted import config, next_cycle, opened

STEPS = 20


class Killed(BaseException):
    """What ends a run from outside."""


def killed_halfway(what, done, total):
    if what == "fine-tuning" and done == STEPS // 2:
        raise Killed


@pytest.fixture
def learnt(monkeypatch):
    """What runs are given to learn, in order."""
    jobs = []
    for place in ("pipeline.stages.finetune", "pipeline.selection.committee_training"):
        fit = import_module(place).fit

        def noting(detector, job, progress, fit=fit):
            jobs.append(job)
            return fit(detector, job, progress)

        monkeypatch.setattr(f"{place}.fit", noting)
    return jobs


def second_cycle(folder, images, **training):
    path = config(folder, images, steps=STEPS, checkpoint_every_steps=4, burn_in_steps=0, **training)
    first = opened(path)
    for stage in (train_committee, finetune, gate):
        stage(first)
    cycle = next_cycle(first)
    train_committee(cycle)
    return cycle


def by_judges(cycle, judges):
    return image_errors(detect_saved(cycle.settings, judges))


def test_the_second_training_draws_by_errors(tiny_data, tmp_path, learnt):
    cycle = second_cycle(tmp_path, tiny_data, boosting=2.0)
    candidate = finetune(cycle)
    *before, one, other, last = learnt
    assert [job.errors for job in before] == [{}, {}, {}], "no champion yet"

    workspace, labeled = cycle.workspace, cycle.store.labeled(Split.TRAIN)
    committee = committee_of(workspace, champion_of(workspace))
    shares = committee.folds.shares(labeled)
    ids = [member.model_id for member in committee.run.members]
    out_of_fold = [Judge(workspace.members, name, own) for name, own in zip(ids, shares, strict=True)]
    assert last.errors == by_judges(cycle, out_of_fold)
    assert len(last.errors) == len(labeled)
    assert len(set(last.errors.values())) > 1, "else all are drawn alike"
    for job, name, unseen in zip((one, other), ids, shares, strict=True):
        own = [sample for sample in labeled if sample not in unseen]
        assert job.errors == by_judges(cycle, [Judge(workspace.members, name, own)])
        assert not job.errors.keys() & {sample.image_id for sample in unseen}, "nothing of its own fold"
    assert candidate.run.labeled_images == len(labeled)


def test_a_killed_second_training_goes_on_with_the_same_draws(tiny_data, tmp_path, learnt):
    whole = finetune(second_cycle(tmp_path / "whole", tiny_data, boosting=2.0))
    cycle = second_cycle(tmp_path / "killed", tiny_data, boosting=2.0)
    with pytest.raises(Killed):
        finetune(cycle, killed_halfway)
    assert cycle.folder.exists(CHECKPOINT)
    again = finetune(cycle)
    assert learnt[-1].errors == learnt[-2].errors
    assert again.candidate == whole.candidate, "the same weights"


def test_nobody_looks_without_boosting_or_where_a_network_starts_anew(tiny_data, tmp_path, monkeypatch):
    def fail(*_):
        raise AssertionError("detected")

    monkeypatch.setattr("pipeline.selection.boosting.detect_saved", fail)
    cycle = second_cycle(tmp_path, tiny_data)
    finetune(cycle)
    assert cycle.read(CommitteeRun).members[0].parent is not None

    training = cycle.settings.training.model_copy(update={"boosting": 1.0})
    wider = cycle.settings.detector.model_copy(update={"fpn_channels": 24})
    settings = cycle.settings.model_copy(update={"training": training, "detector": wider})
    workspace, labeled = cycle.workspace, cycle.store.labeled(Split.TRAIN)
    assert errors_of_champion(settings, workspace, champion_of(workspace), labeled) == {}
    assert errors_of_champion(settings, workspace, None, labeled) == {}
