"""What labelled images are worth, on the tiny set: that every arm has as many of them and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.artefacts import CommitteeRun, TrainingRun
from pipeline.bench.grid import Grid
from pipeline.bench.labels import LABELS_ARMS, LabelsCell, LabelsResult, labels_cells
from pipeline.bench.scenario import Scenario
from pipeline.cli.app import app
from pipeline.cycle import load_cycle
from pipeline.dataset.store import SampleStore
from pipeline.errors import SettingsError
from pipeline.records import Split, State
from pipeline.workspace import Workspace
from tests.end_to_end.project import labeled_sources, write_config

STEPS = ("training.steps=4", "training.burn_in_steps=0", "mining.proposal_score=0.01")


@pytest.fixture(scope="module")
def bare(tiny_data, tmp_path_factory):
    """A set whose labelled images all come from the hidden ones."""
    folder = tmp_path_factory.mktemp("labels")
    hidden = {"annotations": str(tiny_data / "hidden.json"), "images": str(tiny_data / "pool"), "start": 4}
    sources = [source for source in labeled_sources(tiny_data) if source["split"] != "train"]
    return write_config(folder, tiny_data, data={"sources": sources}, labeling={"simulated": hidden})


@pytest.fixture(scope="module")
def measured(bare, tmp_path_factory):
    root = tmp_path_factory.mktemp("cells")
    cells = labels_cells([bare], [8], [0], LABELS_ARMS, Scenario(Path(), None, 0, root, STEPS))
    return dict(zip(LABELS_ARMS, cells, strict=True)), Grid(root / "results", LabelsResult).run(cells), root


def workspaces(root: Path, arm: str) -> Workspace:
    (found,) = (path for path in root.iterdir() if f"-{arm}-" in path.name)
    return Workspace(found)


def test_every_arm_has_as_many_labels_of_people(measured):
    cells, results, root = measured
    assert [(one.arm, one.labels) for one in results] == [
        ("labelled", 8), ("split", 8), ("ours", 8), ("naive-0.5", 8), ("all", 12)
    ]  # fmt: skip
    for one in results:
        values = json.loads((root / "results" / f"{cells[one.arm].name}.json").read_text())
        assert {"set", "labels", "seed", "arm", "map", "map50", "steps", "minutes"} <= values.keys()
        assert 0 <= one.map <= one.map50 <= 1
        assert one.steps in {4, 8}
        assert one.committee == (1 if one.arm == "split" else 2)
        assert (one.held_back_map is None) == (one.arm == "split")
        assert (one.pseudo is None) == (one.arm in {"labelled", "all"})


def test_what_teaches_in_each_arm(measured):
    _, _, root = measured
    learnt = {}
    for arm in LABELS_ARMS:
        second = load_cycle(workspaces(root, arm).uri, 1)
        learnt[arm] = second.read(TrainingRun).run.labeled_images
        assert second.has(CommitteeRun) == (arm != "split")
    assert learnt == {"labelled": 8, "split": 2, "ours": 8, "naive-0.5": 8, "all": 12}
    assert not SampleStore(workspaces(root, "labelled").samples_uri).samples(states=[State.PSEUDO])
    val = SampleStore(workspaces(root, "split").samples_uri).labeled(Split.VAL)
    assert len(val) == 6, "of the eight, and none of the set's own"


def test_what_is_measured_is_not_measured_again(measured, bare, monkeypatch):
    _, results, root = measured
    monkeypatch.setattr(LabelsCell, "measure", lambda *_: pytest.fail("measured again"))
    given = ["bench", "labels", "-c", bare, "--labels", 8, "--seed", 0, "--root", root, "--json", root / "results"]
    shown = CliRunner().invoke(app, [*map(str, given), *(part for one in STEPS for part in ("--set", one))])
    assert shown.exit_code == 0, shown.output
    assert f"{results[0].map:.3f}" in shown.output


def test_all_is_one_cell_whatever_the_number_of_labels(bare):
    cells = labels_cells([bare], [8, 12], [0, 1], ["ours", "all"], Scenario(Path(), None, 0, Path("root")))
    assert [cell.arm for cell in cells].count("all") == 2
    assert [cell.arm for cell in cells].count("ours") == 4
    assert len({cell.name for cell in cells}) == 6


def test_a_committee_of_another_size_is_another_cell_but_for_split(bare):
    def of(arm, *overrides):
        return LabelsCell(Scenario(bare, 8, 0, Path("root"), overrides), arm)

    assert of("ours", "selection.committee=4").start.selection.committee == 4
    assert of("ours", "selection.committee=4").name != of("ours").name
    assert of("split", "selection.committee=4").start.selection.committee == 1


def test_the_labels_of_the_pool_are_counted_against_the_truth(measured):
    _, results, root = measured
    for one in results:
        if one.pseudo is not None:
            taught = SampleStore(workspaces(root, one.arm).samples_uri).samples(states=[State.PSEUDO])
            assert one.pseudo.boxes == sum(len(sample.boxes) for sample in taught)
            assert one.pseudo.right <= one.pseudo.judged <= one.pseudo.boxes


def test_another_arm_is_refused(bare):
    with pytest.raises(SettingsError, match=r"Expected arms among labelled, split, ours, naive-0\.5, all, got 'best'"):
        LabelsCell(Scenario(bare, 8, 0, Path("root")), "best")
