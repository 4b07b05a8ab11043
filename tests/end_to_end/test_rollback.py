"""Going back to the champion before: what the withdrawn one wrote leaves the data, and the next cycle starts anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.artefacts import Certificates, MiningRun, TrainingRun
from pipeline.cli.app import app
from pipeline.cycle import load_cycle, open_cycle
from pipeline.dataset.store import SampleStore
from pipeline.detector.models.registry import CHAMPION, Champion, champion_id, champions, load_card
from pipeline.detector.models.saved import load_model, save_model
from pipeline.errors import ArtefactError, PipelineError
from pipeline.records import State
from pipeline.settings import load_settings
from pipeline.stages.rollback import rollback
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_cycles, write_config


@pytest.fixture
def config(tiny_data, tmp_path) -> Path:
    """A project with soft labels, so that the machine surely writes something."""
    return write_config(tmp_path, tiny_data, selection={"soft_from": 0.0, "target_precision": 0.5, "confidence": 0.8})


def pseudo_labelled(settings):
    samples = SampleStore(Workspace(settings.workspace).samples_uri).samples(states=[State.PSEUDO])
    return {one.image_id: {box.model_id for box in one.boxes} for one in samples}


def test_back_and_on_again(config):
    settings = run_cycles(config)
    workspace, store = Workspace(settings.workspace), SampleStore(Workspace(settings.workspace).samples_uri)
    models, second = workspace.models, champion_id(workspace.models)
    with pytest.raises(ArtefactError, match=f"to go back to, found only {second}"):
        rollback(settings)
    written = pseudo_labelled(settings)
    assert written
    assert set().union(*written.values()) == {second}
    # As if it had replaced another one.
    first = save_model(models, load_model(models, second), replace(load_card(models, second), seed=99))
    models.write_record(CHAMPION, Champion(second, (first,)))

    result = CliRunner().invoke(app, ["models", "rollback", "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert f"{first} is the champion again, {second} is withdrawn." in result.stdout
    assert champions(models) == [first]
    assert pseudo_labelled(settings) == {}
    assert store.history()[-1].reason == f"model {second} withdrawn: {len(written)} images back to the pool"

    run_cycles(config, 2)
    cycle = load_cycle(settings.workspace, 1)
    assert cycle.read(TrainingRun).parent == first
    assert cycle.read(TrainingRun).run.pseudo_images == 0, "nothing of the withdrawn model is learnt from"
    mined_with = cycle.read(MiningRun).model_id
    assert cycle.read(Certificates).model_id == mined_with
    assert set().union(*pseudo_labelled(settings).values()) == {mined_with}


def test_not_while_a_cycle_is_under_way(config):
    settings = run_cycles(config)
    open_cycle(load_settings(config), datetime.now(UTC))
    with pytest.raises(PipelineError, match="cycle 1 is under way with the champion that would be withdrawn"):
        rollback(settings)
