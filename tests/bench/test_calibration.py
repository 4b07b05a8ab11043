from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipeline.bench.calibration import CalibrationCell, CalibrationResult
from pipeline.bench.grid import Grid
from pipeline.cli.app import app

SCORES = [
    "confidence",
    "consistency",
    "product",
    "flip agreement",
    "augmented view",
    "close-up",
    "detection without neighbours and affinity",
    "detection without affinity",
    "detection",
    "detection and pastes",
    "detection and augmented view",
    "all evidence without affinity",
    "all evidence",
    "crosscheck",
]


@pytest.fixture(autouse=True, scope="module")
def _few_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.selection.quality.RESAMPLES", 40)
        yield


def calibrate(scenarios, held_back, root):
    cells = [CalibrationCell(scenario, held_back) for scenario in scenarios]
    return Grid(root / "cells" / "calibration", CalibrationResult).run(cells)


@pytest.fixture(scope="module")
def calibrated(tiny, root):
    return calibrate(tiny, None, root)


def test_every_score_is_measured_on_the_same_boxes(calibrated):
    assert [(one.set, one.labelled, one.seed) for one in calibrated] == [("tiny", 4, 0)]
    for result in calibrated:
        assert list(result.scores) == SCORES
        assert (result.held_back.images, result.pool.images) == (10, 4)
        assert 0 < result.pool.right < result.pool.boxes
        assert result.scores["confidence"].gain == (0.0, 0.0), "over itself"
        levels = {name: score.quality.auroc for name, score in result.scores.items()}
        assert len(set(levels.values())) > 5, "scores differ"
        for name, score in result.scores.items():
            low, high = score.gain
            assert low <= levels[name] - levels["confidence"] <= high


def test_few_held_back_images_are_a_cell_of_their_own(calibrated, tiny, root):
    (few,) = calibrate(tiny, 3, root)
    assert few.held_back.images == 3
    assert 0 < few.held_back.right < few.held_back.boxes < calibrated[0].held_back.boxes
    assert few.pool.boxes == calibrated[0].pool.boxes
    assert few.scores["flip agreement"] == calibrated[0].scores["flip agreement"], "it learns from no held-back image"
    assert few.scores["all evidence"] != calibrated[0].scores["all evidence"]


def test_wrong_boxes_are_told_apart_by_kind(calibrated):
    for result in calibrated:
        kinds = result.wrong_boxes
        assert [wrong.kind for wrong in kinds] == ["another class", "duplicate", "misplaced or background"]
        assert sum(wrong.boxes for wrong in kinds) == result.pool.boxes - result.pool.right
        # Each right box meets each wrong one once, so that the parts weigh as many boxes as they hold.
        for name in SCORES:
            parts = sum(wrong.boxes * wrong.auroc[name] for wrong in kinds if wrong.boxes)
            whole = parts / (result.pool.boxes - result.pool.right)
            assert whole == pytest.approx(result.scores[name].quality.auroc)


def test_promises_are_held_against_images_that_nothing_learnt_from(calibrated):
    promises = [promise for result in calibrated for promise in result.promises]
    assert promises
    assert {promise.label for promise in promises} <= {"red", "blue"}
    for promise in promises:
        assert 0 <= promise.right <= promise.boxes
        assert promise.lower_bound >= promise.target == 0.5
    assert sum(promise.boxes for promise in promises) > 0


def test_a_finished_cell_is_read_not_measured_again(calibrated, tiny, root, never):
    never("pipeline.bench.calibration.CalibrationCell.measure")
    assert calibrate(tiny, None, root) == calibrated


def test_the_command_shows_what_was_measured(calibrated, config, root, never):
    never("pipeline.bench.calibration.CalibrationCell.measure")
    given = ["bench", "calibration", "-c", str(config), "--labelled", "4", "--seed", "0"]
    given += ["--root", str(root / "cells")]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    for text in ("Is this box right?", "flip agreement", "misplaced or background", "Certified classes"):
        assert text in shown.stdout
    plain = CliRunner().invoke(app, [*given, "--json"])
    cells = json.loads(plain.stdout)["cells"]
    assert [cell["seed"] for cell in cells] == [0]
    assert cells[0]["scores"]["crosscheck"]["quality"]["auroc"] == calibrated[0].scores["crosscheck"].quality.auroc
