from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipeline.bench.scenario import Scenario
from pipeline.bench.speed import SpeedRound, Turns, bench_speed
from pipeline.cli.app import app
from pipeline.errors import SettingsError
from tests.end_to_end.project import write_config


def test_our_loop_is_timed_beside_the_reference(config, root):
    told = []
    result = bench_speed(Scenario(config, None, 0, root / "speed"), Turns(3, 2), lambda *one: told.append(one))
    assert len(result.rounds) == 3
    assert result.ratio == sorted(one.ratio for one in result.rounds)[1]
    assert result.ratio_range == (min(one.ratio for one in result.rounds), max(one.ratio for one in result.rounds))
    assert (result.set, result.batch, result.turns) == ("tiny", 4, Turns(3, 2))
    shown = sum(2 * 4 / one.ours for one in result.rounds)  # seconds: two batches of four images per round
    assert 0 < result.own_time.batches + result.own_time.steps <= shown
    assert [one for one in told if one[0] == "rounds"] == [("rounds", 1, 3), ("rounds", 2, 3), ("rounds", 3, 3)]


def test_a_ratio_above_one_is_faster():
    assert SpeedRound(ours=6.0, reference=3.0).ratio == 2.0


def test_the_reference_is_a_retinanet(tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data, detector={"architecture": "fcos", "fpn_channels": 64})
    with pytest.raises(SettingsError, match=r"Expected detector\.architecture 'retinanet' here, got 'fcos'"):
        bench_speed(Scenario(config, None, 0, tmp_path / "speed"), Turns(1, 1))


def test_the_command(config, root):
    given = ["bench", "speed", "-c", str(config), "--rounds", "1", "--steps", "1", "--root", str(root / "speed")]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "times as fast" in shown.stdout
    result = json.loads(CliRunner().invoke(app, [*given, "--json"]).stdout)
    assert result["turns"] == {"rounds": 1, "steps": 1}
