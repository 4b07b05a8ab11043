"""A committee that others train, and a gate for which others detect: as in one process, and whoever is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from distributed import LocalCluster

from pipeline.artefacts import CommitteeRun, GateOutcome, Member
from pipeline.cycle import load_cycle
from pipeline.progress import silent
from pipeline.runners import ALONE, runner_of
from pipeline.selection import committee_training, judging
from pipeline.settings import RunnerSettings
from pipeline.stages.committee import train_committee
from pipeline.stages.finetune import finetune
from pipeline.stages.gate import gate
from tests.stages.crossfitted import config, opened

STEPS, DIES_AT = 6, 3
"""Of a member; the checkpoint before its death is that of step 2."""


@pytest.fixture(scope="module")
def waiting(tiny_data, tmp_path_factory):
    """A workspace whose committee waits to be trained."""
    folder = tmp_path_factory.mktemp("waiting")
    path = config(
        folder, tiny_data, steps=8, checkpoint_every_steps=2, burn_in_steps=0, workers=1, plateau={"enabled": False}
    )
    opened(path)
    return folder


@pytest.fixture
def copied(waiting, tmp_path):
    """A cycle in a copy of it."""
    shutil.copytree(waiting / "workspace", tmp_path / "workspace")
    return load_cycle(str(tmp_path / "workspace"), 0)


@pytest.fixture(scope="module")
def expected(waiting, tmp_path_factory):
    """What one process makes of it."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(waiting / "workspace", folder / "workspace")
    return made(load_cycle(str(folder / "workspace"), 0), ALONE)


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=2, memory_limit=0, dashboard_address=":0") as started:
        yield started


def made(cycle, runner, progress=silent) -> tuple[list[Member], GateOutcome, dict[str, bytes]]:
    """What a committee is, what the gate says of it, and the weights of both, without what the clock says."""
    members = train_committee(cycle, progress, runner).members
    finetune(cycle)
    outcome = gate(cycle, progress, runner)
    untimed = [replace(one, run=replace(one.run, train_seconds=0.0, images_per_s=0.0)) for one in members]
    saved = [cycle.workspace.members.folder(one.model_id) for one in members]
    saved.append(cycle.workspace.models.folder(outcome.candidate))
    weights = {folder.uri.split("/")[-1]: folder.read_bytes("weights.safetensors") for folder in saved}
    assert not cycle.folder.exists(committee_training.KEPT)
    assert cycle.has(CommitteeRun)
    return untimed, replace(outcome, seconds=0.0), weights


def dying(file: Path, workspace: str, number: int):
    """Trains members, and dies of SIGKILL in the midst of the first one; its steps go to a file per process."""

    def step(_what, done, _total):
        with file.with_name(f"steps{os.getpid()}").open("a") as steps:
            steps.write(f"{json.dumps(done)}\n")
        if done == DIES_AT:
            try:
                file.open("x").close()
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)

    return committee_training.committee_training(load_cycle(workspace, number), step).here


def steps_of(folder: Path) -> list[list[int]]:
    return [[int(line) for line in file.read_text().split()] for file in folder.glob("steps*")]


@contextmanager
def processes():
    with runner_of(RunnerSettings(kind="processes", workers=2)) as runner:
        yield runner


@contextmanager
def on(cluster):
    with runner_of(RunnerSettings(kind="dask", dask_scheduler=cluster.scheduler_address)) as runner:
        yield runner


def test_two_processes_train_and_judge_as_one_and_are_the_same_for_both(copied, expected):
    seen = set()

    def look(*_):
        seen.update(child.pid for child in multiprocessing.active_children())

    with processes() as runner:
        assert made(copied, runner, look) == expected
        assert len(seen) == 2
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_the_member_of_a_lost_worker_goes_on_from_its_checkpoint(
    kind, copied, expected, request, monkeypatch, tmp_path
):
    died = tmp_path / "died"
    monkeypatch.setattr(committee_training, "_trains", partial(dying, died))
    with processes() if kind == "processes" else on(request.getfixturevalue("cluster")) as runner:
        assert made(copied, runner) == expected
    assert died.exists()
    steps = [step for one in steps_of(tmp_path) for step in one]
    assert sorted(steps) == sorted([*range(1, STEPS + 1)] * 2 + [DIES_AT]), "one step was done twice"


def test_images_of_a_lost_worker_are_looked_at_by_another(copied, expected, cluster, monkeypatch, tmp_path):
    died = tmp_path / "died"
    monkeypatch.setattr(judging, "BATCHES", 1)
    monkeypatch.setattr(judging, "_detecting", partial(dying_detector, died, judging._detecting))
    with on(cluster) as runner:
        assert made(copied, runner) == expected
    assert died.exists()


def dying_detector(file, detecting, settings):
    detect = detecting(settings)

    def deadly(batches):
        try:
            file.open("x").close()
        except FileExistsError:
            return detect(batches)
        return os.kill(os.getpid(), signal.SIGKILL)

    return deadly
