from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from pipeline.bench.grid import Grid
from pipeline.bench.human_work import HumanWork, drawn_by_hand, work_until
from pipeline.bench.strategies import STRATEGIES, Plan, RoundCell, RoundResult, strategy_scenarios
from pipeline.cli.app import app
from pipeline.cycle import load_cycle
from pipeline.errors import SettingsError
from pipeline.records import Split, State
from pipeline.settings import SecondsSettings

STEPS = "training.steps=6"
PLAN = Plan(("random", "crosscheck"), (False,), rounds=2, per_round=2)


@pytest.fixture(scope="module")
def scenario(config, root):
    return replace(strategy_scenarios([config], [0], root / "strategies", [STEPS])[0], labelled=3)


@pytest.fixture(scope="module")
def measured(scenario, root):
    cells = PLAN.cells([scenario])
    return cells, Grid(root / "strategies" / "rounds", RoundResult).run(cells)


def test_every_strategy_starts_from_the_same_detector_and_is_asked_as_much(measured, tiny_data):
    start, after = measured[1][:2], measured[1][2:]
    assert [(own.strategy, own.round) for own in measured[1]] == [
        ("random", 0),
        ("crosscheck", 0),
        ("random", 1),
        ("crosscheck", 1),
    ]
    assert replace(start[0], strategy="crosscheck") == start[1]
    for before, own in zip(start, after, strict=True):
        assert own.images == before.images + 2
        assert own.seconds >= before.seconds + 2 * SecondsSettings().look
        assert own.boxes >= before.boxes
        assert 0 <= own.map <= own.map50 <= 1
    given = sum(len(json.loads((tiny_data / name).read_text())["images"]) for name in ("labeled.json", "val.json"))
    assert start[0].images == given + 3, "images that calibrate are work of people too"


def test_work_is_what_the_annotator_charged(measured):
    cell = measured[0][-1]
    cycle = load_cycle(cell.settings.workspace, 1)
    work, seconds = work_until(cycle), SecondsSettings()
    start = cycle.store.samples(0, states=[State.LABELED], splits=[Split.TRAIN, Split.VAL])
    answered = [
        sample for sample in cycle.store.labeled(Split.TRAIN) if sample.image_id not in {s.image_id for s in start}
    ]
    boxes = sum(len(sample.boxes) for sample in [*start, *answered])
    assert work.images == len(start) + len(answered)
    assert 0 < work.boxes <= boxes
    assert work.seconds <= work.images * seconds.look + boxes * seconds.draw + 2 * 30 * seconds.delete
    assert work.seconds > drawn_by_hand(start, seconds).seconds


def test_drawing_by_hand_costs_a_look_and_every_box(measured):
    cycle = load_cycle(measured[0][0].settings.workspace, 0)
    samples = cycle.store.labeled(Split.VAL)
    boxes = sum(len(sample.boxes) for sample in samples)
    priced = drawn_by_hand(samples, SecondsSettings(look=1, draw=10))
    assert priced == HumanWork(len(samples), boxes, len(samples) + 10 * boxes)


@pytest.mark.parametrize("strategy", ["cald", "ppal"])
def test_strategies_that_look_again_are_asked_as_much(measured, scenario, root, strategy):
    (result,) = Grid(root / "strategies" / "looking", RoundResult).run([RoundCell(scenario, strategy, False, 1, 2)])
    assert result.images == measured[1][0].images + 2


def test_a_finished_round_is_not_run_again(measured, root, never):
    never("pipeline.bench.strategies.train")
    assert Grid(root / "strategies" / "rounds", RoundResult).run(measured[0]) == measured[1]


def test_without_pseudo_labels_none_is_learnt(measured):
    for cell in measured[0]:
        store = load_cycle(cell.settings.workspace, 0).store
        assert not store.samples(states=[State.PSEUDO])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("pseudo", [False, True])
def test_every_strategy_has_settings_that_are_accepted(scenario, strategy, pseudo):
    settings = RoundCell(scenario, strategy, pseudo, 0, 2).settings
    assert settings.selection.query.images == 2
    assert (settings.selection.max_pseudo_images == 0) is not pseudo


def test_rounds_of_a_strategy_share_a_workspace_and_nothing_else_does(scenario):
    cells = [RoundCell(scenario, name, pseudo, 0, 2) for name in STRATEGIES for pseudo in (False, True)]
    assert len({cell.settings.workspace for cell in cells}) == len(cells)
    first = cells[0]
    assert replace(first, round=3).settings == first.settings
    assert replace(first, per_round=3).settings.workspace != first.settings.workspace


def test_an_unknown_strategy_is_refused_with_those_that_exist(scenario):
    with pytest.raises(SettingsError, match=r"random.*got 'luck'"):
        RoundCell(scenario, "luck", False, 0)


def test_as_many_images_are_asked_as_the_set_wants(config, scenario, tmp_path):
    named = tmp_path / "deeppcb.yaml"
    named.write_text(config.read_text().replace("name: tiny", "name: deeppcb"))
    asked = [RoundCell(replace(scenario, config=own), "random", False, 0).settings for own in (config, named)]
    assert [settings.selection.query.images for settings in asked] == [10, 20]


def test_the_command_shows_what_was_measured(measured, root, tmp_path):
    figure, page = tmp_path / "curves.svg", tmp_path / "strategies.html"
    given = ["--table", "--root", root / "strategies", "--json", root / "strategies", "--figure", figure]
    given += ["--page", page]
    shown = CliRunner().invoke(app, ["bench", "strategies", *map(str, given)], env={"COLUMNS": "220", "TERM": "dumb"})
    assert shown.exit_code == 0, shown.output
    assert "Human work by strategy" in shown.stdout
    assert f"{measured[1][-1].map:.3f}" in shown.stdout
    assert "<svg" in figure.read_text()
    html = page.read_text()
    assert "<svg" in html
    assert html.count(f"{measured[1][-1].map:.3f}") >= 2, "in what is summed up, and of its round"
    summary = json.loads((root / "strategies" / "summary.json").read_text())
    assert [way["strategy"] for way in summary["ways"]] == ["crosscheck", "random"]


def test_a_table_of_nothing_says_what_makes_it(tmp_path):
    shown = CliRunner().invoke(app, ["bench", "strategies", "--table", "--root", str(tmp_path)])
    assert shown.exit_code == 1
    assert "found none" in shown.output
