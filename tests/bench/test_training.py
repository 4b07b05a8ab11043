from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.artefacts import GateOutcome
from pipeline.bench.arms import ABLATIONS, ARMS, BOOSTED, NAIVE
from pipeline.bench.grid import Grid
from pipeline.bench.pool_labels import our_labels
from pipeline.bench.scenario import Scenario, train
from pipeline.bench.training import ArmCell, ArmResult, default_budget
from pipeline.cli.app import app
from pipeline.cycle import Cycle
from pipeline.errors import SettingsError
from pipeline.records import Split
from pipeline.settings import load_settings
from tests.end_to_end.project import write_config

MEASURED = [*ARMS, "boosting-1", "no-triplet"]
OVERRIDES = ("training.steps=20", "selection.soft_from=0.3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def scenario(tiny_data, folder):
    return Scenario(write_config(folder, tiny_data, selection={"folds": 2}), 2, 0, folder / "cells", OVERRIDES)


def measure(scenario, arms, folder):
    return Grid(folder / "results", ArmResult).run([ArmCell(scenario, arm) for arm in arms])


@pytest.fixture(scope="module")
def results(scenario, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NAIVE, "naive-0.5", 0.02)  # so little has been learnt that nothing is surer
        measured = measure(scenario, MEASURED, folder)
    return {result.arm: result for result in measured}


# Arms


def test_every_arm_has_a_result(results, folder):
    assert list(results) == MEASURED
    for result in results.values():
        assert (result.set, result.labelled, result.seed, result.steps) == ("tiny", 2, 0, 40)
        assert 0 < result.map < result.map50 < 1
        assert set(result.per_class) == {"red", "blue"}
        assert result.gate.why
    assert len(list((folder / "results").iterdir())) == len(results), "one file each, and nothing else"


def test_the_truth_about_pseudo_labels_is_counted_after_the_fact(results):
    labels = {arm: result.pseudo for arm, result in results.items() if result.pseudo is not None}
    assert labels.keys() == {"naive-0.5", "naive-0.9", "ours", "no-triplet"}
    assert len({truth.true_boxes for truth in labels.values()}) == 1, "of one pool"
    assert labels["ours"].boxes > 0
    assert labels["ours"].regions > 0
    assert labels["naive-0.5"].boxes > 0
    assert labels["naive-0.5"].regions == 0
    assert labels["no-triplet"] == labels["ours"], "ablations of training have the same labels"


def test_an_arm_without_pseudo_labels_is_the_labelled_one(results):
    assert results["naive-0.9"].pseudo.boxes == 0
    assert results["naive-0.9"].map == results["labelled"].map
    assert results["naive-0.5"].map != results["labelled"].map


def test_arms_go_on_from_one_detector(results, scenario):
    before = {arm: result.map_before for arm, result in results.items()}
    assert {level for arm, level in before.items() if arm != "all"} == {before["labelled"]}
    assert before["labelled"] == train(ArmCell(scenario, "labelled").start).read(GateOutcome).test.map
    assert before["all"] != before["labelled"]


def test_what_is_finished_is_read_not_trained_again(results, scenario, folder, never):
    never("pipeline.bench.training.ArmCell.measure")
    again = measure(scenario, MEASURED, folder)
    assert {result.arm: result for result in again} == results
    with pytest.raises(AssertionError, match="was called"):
        measure(replace(scenario, seed=1), ["labelled"], folder)


def test_arms_share_what_does_not_depend_on_them(scenario):
    workspaces = {arm: ArmCell(scenario, arm).settings.workspace for arm in (*ARMS, *BOOSTED, *ABLATIONS)}
    assert workspaces["labelled"] == workspaces["naive-0.5"] == workspaces["naive-0.9"] == workspaces["boosting-1"]
    assert workspaces["ours"] == workspaces["ohem"] == workspaces["no-triplet"]
    own = {workspaces[arm] for arm in ("labelled", "all", "ours", "fusion", "no-localisation-bias")}
    assert len(own) == 5
    assert ArmCell(scenario, "ohem").start.workspace == workspaces["labelled"], "the first half is the same"


def test_every_arm_is_a_cell_of_its_own(scenario):
    arms = (*ARMS, *BOOSTED, *ABLATIONS)
    assert len({ArmCell(scenario, arm).name for arm in arms}) == len(arms)
    longer = replace(scenario, overrides=(*OVERRIDES, "training.steps=21"))
    assert not {ArmCell(scenario, arm).name for arm in arms} & {ArmCell(longer, arm).name for arm in arms}
    bolder = replace(scenario, overrides=("training.steps=20", "selection.soft_from=0.4"))
    assert ArmCell(bolder, "labelled").name == ArmCell(scenario, "labelled").name, "it has no pseudo-labels"
    assert ArmCell(bolder, "ours").name != ArmCell(scenario, "ours").name


def test_an_unknown_arm_is_refused(scenario):
    with pytest.raises(SettingsError, match=r"Expected arms among labelled, naive-0\.5, .*, got 'mine'"):
        ArmCell(scenario, "mine")


def test_few_images_start_labelled_in_the_public_sets(scenario):
    assert [default_budget(Path(f"configs/{name}.yaml")) for name in ("bccd", "deeppcb", "cards")] == [5, 10, 10]
    assert default_budget(scenario.config) == 0, "as its settings say"


def test_labels_of_the_pool_do_not_depend_on_its_hidden_truth(results, scenario, tiny_data, tmp_path):
    """Other truth about the pool: the same labels, though the counts differ."""
    cell = ArmCell(scenario, "ours")
    settings = cell.settings
    data = shutil.copytree(tiny_data, tmp_path / "data")
    hidden = json.loads((data / "hidden.json").read_text())
    given = _start_labelled(cell)
    for annotation in hidden["annotations"]:
        if annotation["image_id"] not in given:
            annotation["bbox"] = [1, 1, 9, 9]
    (data / "hidden.json").write_text(json.dumps(hidden))
    simulated = settings.labeling.simulated.model_copy(update={"annotations": str(data / "hidden.json")})
    labeling = settings.labeling.model_copy(update={"simulated": simulated})
    base = train(cell.start)
    changes = {"labeling": labeling, "training": base.settings.training, "workspace": str(tmp_path / "other")}
    same = our_labels(Cycle(settings, base.number, base.opened_at))
    assert len(same) == results["ours"].pseudo.images > 0
    assert our_labels(train(settings.model_copy(update=changes))) == same


def _start_labelled(cell):
    """Numbers, in the hidden file, of the images that start labelled."""
    store = train(cell.start).store
    names = {Path(sample.uri).name for sample in store.labeled(Split.TRAIN) if "pool" in sample.uri}
    assert len(names) == 2
    hidden = json.loads(Path(cell.settings.labeling.simulated.annotations).read_text())
    return {image["id"] for image in hidden["images"] if image["file_name"] in names}


# Command


def run(*given):
    return CliRunner().invoke(app, ["bench", "training", *map(str, given)], env={"COLUMNS": "200", "TERM": "dumb"})


def test_the_command_shows_the_table_and_draws_it(results, scenario, folder, tmp_path, never):
    never("pipeline.bench.training.ArmCell.measure")
    figure = tmp_path / "figure.svg"
    shown = run("--table", folder / "results", "--figure", figure)
    assert shown.exit_code == 0, shown.output
    assert "no-triplet" in shown.stdout
    assert figure.read_text().lstrip().startswith("<?xml")
    given = ["-c", scenario.config, "--labelled", 2, "--seed", 0, "--arms", "ours", "--steps", 20]
    measured = run(*given, "--set", OVERRIDES[1], "--root", scenario.root, "--json", folder / "results")
    assert measured.exit_code == 0, measured.output
    assert f"{results['ours'].map:.3f}" in measured.stdout


def test_help_names_every_arm(results):
    text = " ".join(run("--help").stdout.split())
    assert [arm for arm in (*ARMS, *BOOSTED, *ABLATIONS) if arm not in text] == []


def test_overrides_of_every_arm_are_settings(scenario):
    for changes in (*BOOSTED.values(), *ABLATIONS.values()):
        load_settings(scenario.config, changes)
