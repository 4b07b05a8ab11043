"""Files that are lost or torn between two nights: the next command says which, and how to go on."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from pipeline.artefacts import GateOutcome, TrainingRun
from pipeline.cli.app import app
from pipeline.cycle import load_cycle
from pipeline.detector.models.registry import CHAMPION, champions
from pipeline.errors import ArtefactError
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_cycles, write_config


@pytest.fixture(scope="module")
def config(tiny_data, tmp_path_factory):
    path = write_config(tmp_path_factory.mktemp("lost"), tiny_data)
    run_cycles(path)
    return path


def crosscheck(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def lines(result):
    return result.stderr.strip().splitlines()


@pytest.mark.parametrize("name", ["selection.parquet", "queue.parquet", "proposals.parquet", "checks.parquet"])
def test_no_report_without_a_table_that_was_made(config, name):
    folder = Workspace(load_settings(config).workspace).cycle(0)
    kept = folder.read_bytes(name)
    folder.remove(name)
    refused = crosscheck("report", "--config", config)
    folder.write_bytes(name, kept)
    assert refused.exit_code == 1
    assert len(lines(refused)) == 1
    assert f"Expected {folder.path(name)}, found none" in refused.stderr
    assert "Restore it from a backup" in refused.stderr
    assert crosscheck("report", "--config", config).exit_code == 0


@pytest.mark.parametrize("damaged", [None, b"", b'{"model_id": "'], ids=["missing", "empty", "truncated"])
def test_a_lost_champion_is_not_replaced_without_a_gate(config, damaged):
    settings = load_settings(config)
    models = Workspace(settings.workspace).models
    champion = load_cycle(settings.workspace, 0).read(GateOutcome).candidate
    models.remove(CHAMPION)
    if damaged is not None:
        models.write_bytes(CHAMPION, damaged)
    with pytest.raises(ArtefactError, match=f"`crosscheck models promote {champion}`"):
        run_cycles(config, 2)
    for command in ("evaluate", "mine"):
        refused = crosscheck(command, "--config", config)
        assert refused.exit_code == 1
        assert f"crosscheck models promote {champion}" in lines(refused)[-1]
    assert crosscheck("models", "promote", champion, "--config", config).exit_code == 0
    assert champions(models) == [champion]


def test_the_cycle_goes_on_from_the_champion_that_was_restored(config):
    settings = run_cycles(config, 2)
    first, second = (load_cycle(settings.workspace, number) for number in (0, 1))
    assert second.read(TrainingRun).parent == first.read(GateOutcome).candidate
    assert second.read(GateOutcome).champion_val is not None, "it was gated"
