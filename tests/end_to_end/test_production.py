"""`configs/production.yaml` as it is: its detector at its size, from weights laid out as torchvision's COCO weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torchvision.models.detection import retinanet_resnet50_fpn

from pipeline.artefacts import GateOutcome, MiningRun, TrainingRun
from pipeline.cycle import load_cycle
from pipeline.dataset.store import SampleStore
from pipeline.records import State
from pipeline.workspace import Workspace
from tests.end_to_end.project import LABELS, labeled_sources, run_cycles

TEMPLATE = Path(__file__).parents[2] / "configs" / "production.yaml"
FILE = "retinanet_resnet50_fpn_coco-eeacb38b.pth"
STEPS = 3


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """Random weights where torchvision looks for those that it downloaded before."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = tmp_path / "torch" / "hub" / "checkpoints" / FILE
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91).state_dict(), path)


@pytest.mark.slow
@pytest.mark.usefixtures("downloaded")
def test_a_cycle_with_the_template(tiny_data, tmp_path):
    values = yaml.safe_load(TEMPLATE.read_text())
    values["workspace"] = str(tmp_path / "workspace")
    values["data"] = {"labels": list(LABELS), "sources": labeled_sources(tiny_data)}
    values["training"] |= {"steps": STEPS, "batch_size": 2, "warmup_steps": 1, "workers": 0}  # there is no time
    values["selection"]["query"]["images"] = 3
    values["labeling"] = {
        "backend": "simulated",
        "simulated": {"annotations": str(tiny_data / "hidden.json"), "images": str(tiny_data / "pool")},
    }
    config = tmp_path / "production.yaml"
    config.write_text(yaml.safe_dump(values))

    settings = run_cycles(config)

    cycle = load_cycle(settings.workspace, 0)
    assert cycle.settings.detector.backbone == "torchvision:resnet50"
    assert cycle.settings.detector.image_size_px == 800
    assert cycle.read(TrainingRun).run.steps == STEPS
    assert cycle.read(GateOutcome).promoted
    assert cycle.read(MiningRun).images == 12
    queued = SampleStore(Workspace(settings.workspace).samples_uri).samples(states=[State.QUEUED])
    assert len(list(queued)) == 3
    assert "cycle-0000.html" in Workspace(settings.workspace).reports.names()
