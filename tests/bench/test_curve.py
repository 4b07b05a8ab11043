from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipeline.bench.curve import CurvePoint, curve_cells
from pipeline.bench.grid import Grid
from pipeline.bench.scenario import EVERY_IMAGE
from pipeline.cli.app import app
from pipeline.detector.training.checkpoint import CHECKPOINT

STEPS = "training.steps=4"


@pytest.fixture(scope="module")
def measured(config, root):
    cells = curve_cells([config], [2, EVERY_IMAGE], [0], root / "curve", [STEPS])
    points = Grid(root / "curve" / "results", CurvePoint).run(cells)
    return cells, points


def test_a_point_says_what_was_learnt_and_how_long_it_took(measured, root, tiny_data):
    cells, points = measured
    train, pool = (
        len(json.loads((tiny_data / name).read_text())["images"]) for name in ("labeled.json", "hidden.json")
    )
    assert [(point.set, point.labelled, point.seed, point.steps) for point in points] == [
        ("tiny", train + 2, 0, 4),
        ("tiny", train + pool, 0, 4),
    ]
    for cell, point in zip(cells, points, strict=True):
        values = json.loads((root / "curve" / "results" / f"{cell.name}.json").read_text())
        assert values["labelled"] == point.labelled
        assert {"set", "labelled", "seed", "map", "steps", "minutes", "ended_by"} <= values.keys()
        assert point.ended_by == "steps"
        assert 0 <= point.map <= point.map50 <= 1
        assert point.minutes >= 0
        assert not [file for file in root.rglob(CHECKPOINT) if "curve" in str(file)]


def test_more_labels_and_other_steps_are_other_cells(config, root):
    cells = curve_cells([config], [2, 3], [0, 1], root, [STEPS])
    cells += curve_cells([config], [2], [0], root, ["training.steps=5"])
    assert len({cell.name for cell in cells}) == 5
    assert [cell.identity.seed for cell in cells] == [0, 0, 1, 1, 0]


def test_numbers_of_images_follow_the_set(config, root, tmp_path):
    named = tmp_path / "deeppcb.yaml"
    named.write_text(config.read_text().replace("name: tiny", "name: deeppcb"))
    cells = curve_cells([config, named], [], [0], root)
    counts = [cell.scenario.labelled for cell in cells]
    assert counts == [5, 10, 20, 47, EVERY_IMAGE, 5, 10, 20, 90, EVERY_IMAGE]


def test_the_command_shows_the_curve(config, root, measured):
    given = ["--curve", "-c", config, "--labelled", 2, "--seed", 0, "--steps", 4, "--root", root / "curve"]
    given += ["--json", root / "curve" / "results"]
    shown = CliRunner().invoke(app, ["bench", "training", *map(str, given)], env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.exit_code == 0, shown.output
    assert "mAP on test by labelled images" in shown.stdout
    assert f"{measured[1][0].map:.3f}" in shown.stdout
    assert len(list((root / "curve" / "results").glob("*.json"))) == 2, "what is there is not measured again"


@pytest.mark.parametrize("other", [["--arms", "ours"], ["--table", "x"], ["--figure", "x.svg"]])
def test_a_curve_has_no_arms_and_no_table(config, other):
    shown = CliRunner().invoke(app, ["bench", "training", "--curve", "-c", str(config), *other])
    assert shown.exit_code == 1
    assert "--curve" in shown.output
