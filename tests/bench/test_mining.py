from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipeline.artefacts import MiningCost
from pipeline.bench.grid import Grid
from pipeline.bench.mining import EngineRun, MiningCell, MiningResult
from pipeline.cli.app import app
from pipeline.mining.reference import HOSTS


@pytest.fixture(scope="module")
def mined(tiny, root):
    return Grid(root / "cells" / "mining", MiningResult).run([MiningCell(scenario, 4, 6) for scenario in tiny])


def test_the_engine_does_less_than_everything_on_the_same_boxes(mined):
    (result,) = mined
    assert (result.set, result.seed, result.images, result.published_proposals) == ("tiny", 0, 4, 6)
    assert result.engine.cost.proposals == result.everything.cost.proposals == result.proposals == 20
    assert result.everything.pasted_share == result.engine.pasted_share == 1.0
    assert 2 <= result.everything.pastes_per_box <= HOSTS
    assert (result.everything.cost.augmented_views, result.everything.cost.closeups) == (4, 20)
    assert result.engine.cost.closeups < result.everything.cost.closeups


def test_speed_and_cost_are_those_of_the_same_seconds(mined):
    (result,) = mined
    engine, everything = result.engine, result.everything
    for run in (engine, everything):
        assert run.cost_over_plain_pass == pytest.approx(run.seconds / result.plain_seconds)
        # What the published rule takes for as many pastes of the same boxes.
        slow = result.published_seconds / (HOSTS * result.published_proposals) * run.cost.readings
        assert run.speedup_same_boxes == pytest.approx(slow / run.seconds)


def test_every_score_is_measured_on_the_boxes_that_the_published_rule_checked(mined):
    (result,) = mined
    assert list(result.auroc) == ["published", "confidence", "engine", "consistency"]
    own = result.published_with_itself
    assert own is None or -1 <= own <= 1, "none where the rule gives every box the same"


def test_shares_of_time_add_up():
    run = EngineRun.of(MiningCost(seconds={"detect": 3.0, "paste": 1.0}), 1.0, 1.0, 1.0)
    assert [run.share_of(step) for step in ("decode", "detect", "paste")] == [0.0, 0.75, 0.25]
    assert (run.speedup_same_boxes, run.pasted_share, run.pastes_per_box) == (None, None, None)


def test_the_command_shows_what_was_measured(mined, config, root, never):
    never("pipeline.bench.mining.MiningCell.measure")
    given = ["bench", "mining", "-c", str(config), "--images", "4", "--proposals", "6", "--seed", "0"]
    given += ["--labelled", "4", "--root", str(root / "cells")]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "Mining on tiny" in shown.stdout
    assert "mean" in shown.stdout
    assert "every box checked" in shown.stdout
    (cell,) = json.loads(CliRunner().invoke(app, [*given, "--json"]).stdout)["cells"]
    assert cell["engine"]["seconds"] == mined[0].engine.seconds
