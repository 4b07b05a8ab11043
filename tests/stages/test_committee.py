"""The committee is trained once, whatever kills the run, and its members go on from cycle to cycle."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.artefacts import CommitteeRun
from pipeline.stages.committee import train_committee
from pipeline.stages.finetune import finetune
from pipeline.stages.gate import gate
from tests.stages.crossfitted import config, next_cycle, opened

STEPS = 8
OF_A_MEMBER = 6


class Killed(BaseException):
    """What ends a run from outside."""


class Lives:
    """Progress that counts steps of training, and ends the run when it has seen so many."""

    def __init__(self, steps=None):
        self.steps, self.seen = steps, 0

    def __call__(self, what, done, total):
        self.seen += what == "fine-tuning"
        if self.seen == self.steps:
            raise Killed


def short(folder, images):
    return opened(config(folder, images, steps=STEPS, checkpoint_every_steps=2, burn_in_steps=0))


def comparable(run: CommitteeRun) -> CommitteeRun:
    """Without what the clock says."""
    members = (replace(one, run=replace(one.run, train_seconds=0.0, images_per_s=0.0)) for one in run.members)
    return replace(run, seconds=0.0, members=tuple(members))


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    cycle = short(tmp_path_factory.mktemp("whole"), tiny_data)
    train_committee(cycle)
    return cycle


def test_each_member_learns_half_of_the_images_and_holds_back_the_other(trained):
    run = trained.read(CommitteeRun)
    assert [one.run.labeled_images for one in run.members] == [4, 4]
    assert [one.held_back_images for one in run.members] == [4, 4]
    assert [one.run.steps for one in run.members] == [OF_A_MEMBER] * 2
    assert len(run.dealt) == 8
    assert len({one.model_id for one in run.members}) == 2
    assert not trained.folder.exists("members"), "checkpoints are gone when all is done"


def test_without_cross_fitting_there_is_no_committee(tiny_data, tmp_path):
    cycle = opened(config(tmp_path, tiny_data))
    alone = replace(
        cycle,
        settings=cycle.settings.model_copy(
            update={"selection": cycle.settings.selection.model_copy(update={"committee": 1})}
        ),
    )
    assert train_committee(alone) is None
    assert not alone.has(CommitteeRun)


@pytest.mark.parametrize("killed_at", [3, OF_A_MEMBER + 3])
def test_a_killed_run_goes_on_within_the_member_that_it_was_at(trained, tiny_data, tmp_path, killed_at):
    cycle = short(tmp_path, tiny_data)
    with pytest.raises(Killed):
        train_committee(cycle, Lives(killed_at))
    assert not cycle.has(CommitteeRun)
    rest = Lives()
    again = train_committee(cycle, rest)
    assert comparable(again) == comparable(trained.read(CommitteeRun))
    assert rest.seen == 2 * OF_A_MEMBER - killed_at + 1, "from the last checkpoint, of step 2, on"


def test_members_go_on_and_the_candidate_keeps_the_record(tiny_data, tmp_path):
    first = short(tmp_path, tiny_data)
    before = train_committee(first)
    candidate = finetune(first)
    assert (candidate.run.ended_by, candidate.run.steps, candidate.run.labeled_images) == ("committee", STEPS, 8)
    assert first.workspace.models.folder(candidate.candidate).read_record(CommitteeRun.FILE, CommitteeRun) == before
    gate(first)
    after = train_committee(next_cycle(first))
    assert [one.parent for one in after.members] == [one.model_id for one in before.members]
    assert after.dealt == before.dealt
