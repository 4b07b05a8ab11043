from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipeline.bench.grid import Grid
from pipeline.bench.missed_objects import MissedObjectsCell, MissedObjectsResult
from pipeline.cli.app import app


def count(scenarios, target, root):
    cells = [MissedObjectsCell(scenario, target) for scenario in scenarios]
    return Grid(root / "cells" / "misses", MissedObjectsResult).run(cells)


@pytest.fixture(scope="module")
def counted(tiny, root):
    return count(tiny, 0.5, root)


def test_missed_objects_are_counted_with_and_without_the_estimate(counted):
    for result in counted:
        assert (result.set, result.labelled, result.images) == ("tiny", 4, 4)
        assert 0 < result.never_proposed < result.objects
        assert result.expected_never_proposed > 0
        assert (result.before.images, result.before.boxes) == (result.weak_regions.images, result.weak_regions.boxes)
        assert result.before.background >= result.weak_regions.background >= result.half.background
        assert 0 < result.half.images < result.weak_regions.images
        share = result.half.images / result.weak_regions.images
        assert result.background_at_random == pytest.approx(share * result.weak_regions.background)
        found, objects = (sum(getattr(one, name) for one in result.recall) for name in ("found", "objects"))
        assert 0 < found <= objects


def test_another_promise_is_a_cell_of_its_own_on_the_same_mining(counted, tiny, root, never):
    never("pipeline.mining.miner.Miner.mine")
    (strict,) = count(tiny, 0.95, root)
    assert strict.certified == (), "too much for ten held-back images"
    assert strict.before.boxes < counted[0].before.boxes


def test_the_command_shows_what_was_counted(counted, config, root, never):
    never("pipeline.bench.missed_objects.MissedObjectsCell.measure")
    given = ["bench", "misses", "-c", str(config), "--labelled", "4", "--target", "0.5", "--seed", "0"]
    given += ["--root", str(root / "cells")]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "taken for background" in shown.stdout
    assert "weak regions" in shown.stdout
    (cell,) = json.loads(CliRunner().invoke(app, [*given, "--json"]).stdout)["cells"]
    assert cell["never_proposed"] == counted[0].never_proposed
