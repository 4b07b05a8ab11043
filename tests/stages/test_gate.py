"""The gate without val: committee against committee on images that their members have not learnt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.artefacts import CommitteeRun, GateOutcome, TrainingRun
from pipeline.detector.models.champion import champion_of
from pipeline.errors import ArtefactError
from pipeline.selection.cross_fitting import judges
from pipeline.stages.committee import train_committee
from pipeline.stages.finetune import finetune
from pipeline.stages.gate import gate
from tests.stages.crossfitted import config, next_cycle, opened, put_forward, spoiled, untrained


@pytest.fixture(scope="module")
def learnt(tiny_data, tmp_path_factory):
    """A cycle that has trained; whatever is put forward after it is what a test makes of that."""
    cycle = opened(config(tmp_path_factory.mktemp("gate"), tiny_data, steps=80, gate_tolerance=0.02))
    train_committee(cycle)
    finetune(cycle)
    gate(cycle)
    return cycle


@pytest.fixture
def put(learnt):
    """Puts a model and a committee forward in a cycle of their own, against a champion."""

    def forward(candidate: str, committee: CommitteeRun, champion: str | None):
        cycle = next_cycle(learnt)
        for name in (GateOutcome.FILE, CommitteeRun.FILE, TrainingRun.FILE):
            cycle.folder.remove(name)
        put_forward(cycle, replace(learnt.read(TrainingRun), candidate=candidate), committee, champion)
        return gate(cycle)

    return forward


def test_the_first_committee_passes_and_is_measured_out_of_fold(learnt):
    outcome = learnt.read(GateOutcome)
    assert outcome.promoted
    assert outcome.why == "the first model"
    assert outcome.champion_held_back is None
    assert outcome.val.boxes == 0
    assert outcome.on("held back").images == 8
    assert outcome.on("held back").map > 0.05
    assert champion_of(learnt.workspace) == outcome.candidate


def test_a_committee_that_has_forgotten_everything_is_stopped(learnt, put):
    champion, committee = learnt.read(TrainingRun).candidate, learnt.read(CommitteeRun)
    outcome = put(untrained(learnt, learnt.workspace.models, 1), spoiled(learnt, committee), champion)
    assert not outcome.promoted
    assert outcome.why.startswith("held-back images mAP 0.0")
    assert "worse" in outcome.why
    assert outcome.champion_held_back.map == learnt.read(GateOutcome).held_back.map
    assert champion_of(learnt.workspace) == champion


def test_a_better_committee_passes(learnt, put):
    trained, committee = learnt.read(TrainingRun).candidate, learnt.read(CommitteeRun)
    poor = untrained(learnt, learnt.workspace.models, 2)
    learnt.workspace.models.folder(poor).write_record(CommitteeRun.FILE, spoiled(learnt, committee, 2))
    outcome = put(trained, committee, poor)
    assert outcome.promoted
    assert outcome.gap[0] > 0, "surely better"
    assert outcome.held_back.map > outcome.champion_held_back.map


def test_a_spoiled_candidate_of_a_good_committee_is_stopped(learnt, put):
    """Its members know no more of it than that it has learnt what they have not."""
    champion, committee = learnt.read(TrainingRun).candidate, learnt.read(CommitteeRun)
    outcome = put(untrained(learnt, learnt.workspace.models, 3), committee, champion)
    assert not outcome.promoted
    assert outcome.why.endswith("without having learnt them: spoiled")


def test_the_first_committee_of_a_project_that_had_none_passes(learnt, put):
    alone = untrained(learnt, learnt.workspace.models, 4)
    outcome = put(learnt.read(TrainingRun).candidate, learnt.read(CommitteeRun), alone)
    assert (outcome.promoted, outcome.why) == (True, "the first committee")


def test_a_champion_without_a_committee_cannot_have_one_judge_for_it(learnt):
    alone = untrained(learnt, learnt.workspace.models, 5)
    with pytest.raises(ArtefactError, match=f"Expected champion {alone} to have a committee, found none"):
        judges(learnt.workspace, alone, learnt.settings.selection)
    champion = learnt.read(TrainingRun).candidate
    assert judges(learnt.workspace, champion, learnt.settings.selection).run == learnt.read(CommitteeRun)
