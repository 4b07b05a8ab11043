from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.bench.arms import ABLATIONS, ARMS, NAIVE, our_labels
from pipeline.bench.speed import bench_speed
from pipeline.bench.trained_cell import train_cell
from pipeline.bench.training import Cell, bench_training
from pipeline.bench.training_table import GATED, draw, read_results, summarize
from pipeline.cli.app import app
from pipeline.errors import ArtefactError, SettingsError
from pipeline.stages.cycle import Cycle
from tests.end_to_end.project import write_config

STEPS = "training.steps=20"
SOFT = "selection.soft_from=0.3"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def config(tiny_data, root):
    return write_config(root, tiny_data, selection={"soft_from": 0.3})


def run(config, root, arms, seeds=(0,)):
    return bench_training(
        [config], 2, seeds, arms, overrides=[STEPS, SOFT], root=str(root / "cells"), results=str(root / "results")
    )


@pytest.fixture(scope="module")
def rows(config, root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NAIVE, "naive-0.5", 0.02)  # so little has been learnt that nothing is surer
        return run(config, root, [*ARMS, "no-triplet"])


# Arms


def test_every_arm_has_a_row(rows):
    assert [row["arm"] for row in rows] == [*ARMS, "no-triplet"]
    for row in rows:
        assert {"set", "labelled", "seed", "arm", "map", "map50", "per_class", "steps", "seconds"} <= row.keys()
        assert (row["set"], row["labelled"], row["seed"], row["steps"]) == ("tiny", 2, 0, 40)
    json.dumps(rows, allow_nan=False)


def test_the_truth_about_pseudo_labels_is_told_after_the_fact(rows):
    told = {row["arm"]: row["pseudo"] for row in rows if "pseudo" in row}
    assert told.keys() == {"naive-0.5", "naive-0.9", "ours", "no-triplet"}
    for labels in told.values():
        assert 0 <= labels["right"] <= labels["judged"] <= labels["boxes"]
        assert labels["recall"] == pytest.approx(labels["right"] / labels["true_boxes"])
    assert told["ours"]["boxes"] > 0
    assert told["ours"]["regions"] > 0
    assert told["naive-0.5"]["boxes"] > 0
    assert told["naive-0.5"]["regions"] == 0
    assert told["no-triplet"] == told["ours"], "ablations have the same labels"


def test_an_arm_without_pseudo_labels_is_the_labelled_one(rows):
    labelled, _, sure = rows[:3]
    assert sure["pseudo"]["boxes"] == 0
    assert sure["map"] == labelled["map"]


def test_arms_go_on_from_one_detector_and_the_gate_judges_what_becomes_of_it(rows):
    before = {row["arm"]: row["map_before"] for row in rows}
    assert {level for arm, level in before.items() if arm != "all"} == {before["labelled"]}
    assert all(row["gate"].keys() == {"promoted", "why"} for row in rows)


def test_what_is_finished_is_read_not_trained_again(rows, config, root, monkeypatch):
    def fail(*_given):
        raise AssertionError("trained again")

    monkeypatch.setattr("pipeline.bench.training._measure", fail)
    assert run(config, root, [*ARMS, "no-triplet"]) == rows
    with pytest.raises(AssertionError, match="trained again"):
        run(config, root, ["labelled"], seeds=[1])


def test_arms_share_what_does_not_depend_on_them(config, root):
    cell = Cell(config, 2, 0, (STEPS,), str(root / "cells"))
    labelled, naive, ours, ablation, otherwise_labelled, every = (
        cell.settings(arm).workspace for arm in ("labelled", "naive-0.9", "ours", "ohem", "no-fusion", "all")
    )
    assert labelled == naive
    assert ours == ablation
    assert len({labelled, ours, otherwise_labelled, every}) == 4
    assert len({cell.name(arm) for arm in (*ARMS, *ABLATIONS)}) == len(ARMS) + len(ABLATIONS)


def test_an_unknown_arm_is_refused_before_anything_is_trained(config, root):
    with pytest.raises(SettingsError, match=r"Expected arms among labelled, naive-0\.5, .*, got 'mine'"):
        run(config, root, ["labelled", "mine"], seeds=[7])


def test_labels_of_the_pool_do_not_depend_on_its_hidden_truth(rows, config, root, tiny_data, tmp_path):
    """Other truth about the pool: the same labels, though the counts of the report differ."""
    cell = Cell(config, 2, 0, (STEPS, SOFT), str(root / "cells"))
    settings = cell.settings("ours")
    data = shutil.copytree(tiny_data, tmp_path / "data")
    hidden = json.loads((data / "hidden.json").read_text())
    given = _given_away(cell)
    for annotation in hidden["annotations"]:
        if annotation["image_id"] not in given:
            annotation["bbox"] = [1, 1, 9, 9]
    (data / "hidden.json").write_text(json.dumps(hidden))
    simulated = settings.labeling.simulated.model_copy(update={"annotations": str(data / "hidden.json")})
    labeling = settings.labeling.model_copy(update={"simulated": simulated})
    base = train_cell(cell.settings("labelled"))
    changes = {"labeling": labeling, "training": base.settings.training, "workspace": str(tmp_path / "other")}
    other = settings.model_copy(update=changes)
    same = our_labels(Cycle(settings, base.number, base.opened_at))
    assert our_labels(train_cell(other)) == same


def _given_away(cell):
    """Numbers of the images in the hidden file whose boxes the cell starts with."""
    names = {
        Path(one.uri).name
        for one in train_cell(cell.settings("labelled")).store.samples()
        if one.boxes and "pool" in one.uri
    }
    hidden = json.loads(Path(cell.settings("labelled").labeling.simulated.annotations).read_text())
    return {image["id"] for image in hidden["images"] if image["file_name"] in names}


# Table


def row(arm, seed, level, *, promoted=True, **values):
    told = {"map": level, "map_before": 0.15, "gate": {"promoted": promoted}}
    return {"set": "bccd", "labelled": 5, "seed": seed, "arm": arm, **told, **values}


TOLD = [
    row("labelled", 0, 0.2),
    row("labelled", 1, 0.3),
    row("ours", 0, 0.3, pseudo={"precision": 0.8, "recall": 0.4}),
    row("ours", 1, 0.2, promoted=False, pseudo={"precision": 0.6, "recall": None}),
    row("all", 0, 0.5),
    row("ohem", 1, 0.25),
]


def test_arms_are_summed_up_over_seeds():
    arms = {one.arm: one for one in summarize(TOLD)}
    assert list(arms) == ["labelled", "ours", GATED, "all", "ohem"]
    ours = arms["ours"]
    assert (ours.mean, ours.spread) == (pytest.approx(0.25), pytest.approx(0.0707, abs=1e-4))
    assert ours.gain == {0: pytest.approx(0.1), 1: pytest.approx(-0.1)}
    assert ours.gap_closed == pytest.approx(0.1 / 0.3), "by the seeds that have a ceiling"
    assert (ours.precision, ours.recall) == (pytest.approx(0.7), 0.4)
    assert arms[GATED].maps == {0: 0.3, 1: 0.15}, "where the gate refuses, the model from before stays"
    assert arms["ohem"].gain == {1: pytest.approx(0.05)}, "an ablation is compared with ours"
    assert (arms["all"].spread, arms["all"].gap_closed) == (None, 1.0)


def test_without_a_floor_or_ceiling_there_is_no_gap():
    (one,) = summarize([row("all", 0, 0.4)])
    assert (one.gain, one.gap_closed) == ({}, None)


def test_results_of_other_settings_are_not_averaged(rows, root, tmp_path):
    assert sorted(one["arm"] for one in read_results(str(root / "results"))) == sorted(one["arm"] for one in rows)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(TOLD[0]))
    with pytest.raises(ArtefactError, match=r"Expected one result for \('bccd', 5, 0, 'labelled'\)"):
        read_results(str(tmp_path))
    with pytest.raises(ArtefactError, match=r"found none\. `crosscheck bench training` makes them"):
        read_results(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_figure_is_drawn(tmp_path, suffix):
    path = tmp_path / f"figure.{suffix}"
    draw(summarize(TOLD), path)
    first = path.read_bytes()
    draw(summarize(TOLD), path)
    assert path.read_bytes() == first


def test_the_command_shows_the_table(rows, root, tmp_path):
    figure = tmp_path / "figure.svg"
    given = ["bench", "training", "--table", str(root / "results"), "--figure", str(figure)]
    result = CliRunner().invoke(app, given, env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    assert "no-triplet" in result.stdout
    assert figure.read_text().lstrip().startswith("<?xml")


# Speed


def test_our_loop_is_timed_beside_the_reference(config, root):
    told = bench_speed(config, rounds=2, steps=2, root=str(root / "speed"))
    assert len(told["rounds"]) == 2
    for one in told["rounds"]:
        assert one["ratio"] == pytest.approx(one["ours"] / one["reference"])
    assert told["ratio_range"][0] <= told["ratio"] <= told["ratio_range"][1]
    assert all(seconds > 0 for seconds in told["our_seconds"].values())
    json.dumps(told, allow_nan=False)


def test_the_reference_is_a_retinanet(tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data, detector={"architecture": "fcos", "fpn_channels": 64})
    with pytest.raises(SettingsError, match=r"Expected detector\.architecture 'retinanet' here, got 'fcos'"):
        bench_speed(config, rounds=1, steps=1, root=str(tmp_path / "speed"))
