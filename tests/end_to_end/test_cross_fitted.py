"""Whole cycles without val: every label teaches and certifies, and no member sees what it must not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import pytest

from pipeline.artefacts import Certificates, CommitteeRun, GateOutcome, MiningRun, SelectionRun, TrainingRun
from pipeline.cycle import load_cycle
from pipeline.detector.training.run import Run
from pipeline.records import Split, State
from pipeline.selection.cross_fitting import Folds, committee_of
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_cycles, selected, versions
from tests.stages.crossfitted import config

CYCLES = 3


@dataclass
class Seen:
    """What the loader gave to each run: image ids by cycle and member, None for the champion."""

    of_people: dict[tuple[int, int | None], set[str]] = field(default_factory=lambda: defaultdict(set))
    of_machine: dict[tuple[int, int | None], set[str]] = field(default_factory=lambda: defaultdict(set))

    def note(self, run: Run, parts) -> None:
        *_, cycle, kind, member = PurePath(run.spec.checkpoints.uri).parts
        key = (int(cycle), int(member)) if kind == "members" else (int(member), None)
        for part in parts:
            for image_id, by_machine in zip(part.image_ids, part.pseudo, strict=True):
                (self.of_machine if by_machine else self.of_people)[key].add(image_id)


@pytest.fixture(scope="module")
def ran(tiny_data, tmp_path_factory):
    """Cycles that write soft labels of nearly everything and learn them as if they were sure, and what loaders gave."""
    seen, step = Seen(), Run.step
    training = {"steps": 16, "burn_in_steps": 0, "checkpoint_every_steps": 50, "soft_weights": False}
    path = config(tmp_path_factory.mktemp("crossfitted"), tiny_data, **training)
    path.write_text(path.read_text().replace("committee: 2", "committee: 2\n  soft_from: 0.05"))

    def noted(run, parts):
        seen.note(run, parts)
        step(run, parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "step", noted)
        settings = run_cycles(path, CYCLES)
    return settings, seen


def test_no_member_learns_its_fold_from_people_and_nothing_that_another_wrote(ran):
    settings, seen = ran
    own_labels = 0
    for number in range(CYCLES):
        cycle = load_cycle(settings.workspace, number)
        run = cycle.read(CommitteeRun)
        rows = {one.image_id: one for one in cycle.store.samples(run.dataset_version)}
        folds = Folds(2, run.dealt)
        for member in (0, 1):
            from_people, from_itself = seen.of_people[number, member], seen.of_machine[number, member]
            assert from_people
            assert {folds.of_sample(rows[name]) for name in from_people} == {1 - member}
            assert all(rows[name].state is State.LABELED for name in from_people)
            assert {folds.of_sample(rows[name]) for name in from_itself} <= {member}
            own_labels += len(from_itself)
    assert own_labels, "or nothing was traced"


def test_a_member_learns_of_its_held_back_images_what_it_wrote_itself(ran):
    settings, seen = ran
    labelled = {
        one.image_id for one in load_cycle(settings.workspace, CYCLES - 1).store.samples(states=[State.LABELED])
    }
    by_machine = set().union(*(names for (_, member), names in seen.of_machine.items() if member is not None))
    assert by_machine & labelled, "images that people have labelled, as if nobody had"
    assert by_machine - labelled, "and images of the pool"


def test_the_champion_learns_every_label(ran):
    settings, seen = ran
    for number in range(CYCLES):
        cycle = load_cycle(settings.workspace, number)
        training = cycle.read(TrainingRun)
        labelled = {
            one.image_id for one in cycle.store.samples(training.dataset_version, [State.LABELED], [Split.TRAIN])
        }
        pseudo = {one.image_id for one in cycle.store.samples(training.dataset_version, [State.PSEUDO])}
        assert training.run.labeled_images == len(labelled)
        assert seen.of_people[number, None] <= labelled
        assert seen.of_machine[number, None] <= pseudo


def test_every_labelled_image_is_held_back_once_and_certifies(ran):
    settings, _ = ran
    for number in range(CYCLES):
        cycle = load_cycle(settings.workspace, number)
        version = cycle.read(TrainingRun).dataset_version
        labelled = cycle.store.samples(version, [State.LABELED], [Split.TRAIN])
        assert cycle.read(MiningRun).held_back_images == len(labelled) == 8 + 3 * number
        assert sum(one.held_back_images for one in cycle.read(CommitteeRun).members) == len(labelled)
        proposals = cycle.folder.read_table("held_back_proposals.parquet", ["image_id", "model_id"])
        assert set(proposals["image_id"].to_pylist()) <= {one.image_id for one in labelled}
        assert set(proposals["model_id"].to_pylist()) == {cycle.read(MiningRun).model_id}
        assert set(cycle.read(Certificates).classes) == {"red", "blue"}
        assert cycle.read(SelectionRun).seconds > 0


def test_the_gate_compares_out_of_fold(ran):
    settings, _ = ran
    first, *others = (load_cycle(settings.workspace, number).read(GateOutcome) for number in range(CYCLES))
    assert first.champion_held_back is None
    for outcome in others:
        assert outcome.held_back.images == outcome.champion_held_back.images > 8
        assert outcome.why.startswith("held-back images mAP") or outcome.why.endswith("spoiled")


def test_the_page_shows_the_committee(ran):
    settings, _ = ran
    page = Workspace(settings.workspace).reports.read_bytes("cycle-0001.html").decode()
    assert "The committee: each member judges the images that it did not learn" in page
    assert "mAP held back [95 %]" in page
    committee = load_cycle(settings.workspace, 1).read(CommitteeRun)
    assert all(one.model_id[:8] in page for one in committee.members)


def test_a_champion_keeps_its_committee(ran):
    settings, _ = ran
    cycle = load_cycle(settings.workspace, CYCLES - 1)
    outcome = cycle.read(GateOutcome)
    kept = committee_of(cycle.workspace, outcome.candidate)
    assert kept.run == cycle.read(CommitteeRun)
    assert committee_of(cycle.workspace, None) is None


@pytest.mark.slow
def test_same_seed_same_bytes(ran, tmp_path):
    settings, _ = ran
    path = tmp_path / "settings.yaml"
    source = PurePath(settings.workspace).parent / "settings.yaml"
    path.write_text(Path(source).read_text().replace(settings.workspace, str(tmp_path / "workspace")))
    again = run_cycles(path, 2)
    for number in (0, 1):
        assert selected(again, number) == selected(settings, number)
    assert versions(again)[:4] == versions(settings)[:4]
