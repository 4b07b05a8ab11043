"""The miner computes with the engine that the settings name, and keeps its export with the model."""

from __future__ import annotations

import pytest

from pipeline.artefacts import GateOutcome
from pipeline.cycle import load_cycle
from pipeline.mining.preparation import prepare_miner
from pipeline.settings import Settings
from tests.end_to_end.project import run_cycles, write_config

pytest.importorskip("onnxruntime")


def test_the_engine_is_the_one_that_is_set(tiny_data, tmp_path):
    settings = run_cycles(
        write_config(tmp_path, tiny_data, training={"steps": 6}, mining={"engine": "onnx"}, selection={"folds": 2})
    )
    cycle = load_cycle(settings.workspace, 0)
    model_id = cycle.read(GateOutcome).candidate
    kept = cycle.workspace.models.folder(model_id)
    assert kept.exists("onnx.onnx")
    values = cycle.settings.model_dump()
    values["mining"]["engine"] = "torch"
    by_torch = type(cycle)(Settings(**values), 0, cycle.opened_at)
    networks = [type(prepare_miner(one, model_id).predictor.detector.network.backbone) for one in (cycle, by_torch)]
    assert networks[0] is not networks[1]
