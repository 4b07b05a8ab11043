"""`crosscheck demo`, with as little learning as can be: what it prints, and that it goes on where it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.dataset.store import SampleStore
from tests.flows.conftest import PROJECT

CROSSCHECK = Path(sys.executable).with_name("crosscheck")


@pytest.fixture
def demo(prefect, tmp_path):
    settings = yaml.safe_load((PROJECT / "configs/demo.yaml").read_text())
    settings |= {"workspace": "runs/demo"}
    settings["detector"]["image_size_px"] = 64
    settings["training"] |= {"steps": 2, "batch_size": 2}
    settings["mining"] |= {"proposals_per_image": 1, "hosts": 1}
    text = yaml.safe_dump(settings).replace("../data/demo", "data/demo")
    (tmp_path / "demo.yaml").write_text(text)

    def run(*arguments: str) -> str:
        ran = subprocess.run(
            [CROSSCHECK, "demo", "--config", "demo.yaml", *arguments],
            cwd=tmp_path, env=prefect.environment, timeout=300, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


def test_the_demo(demo, tmp_path):
    lines = demo("--cycles", "1").splitlines()
    assert lines[0].startswith("cycle 0: Cycle 0: test mAP ")
    assert lines[1].startswith("cycle 1: Cycle 1: test mAP ")
    assert lines[-2].startswith("test mAP: ")
    assert lines[-1] == str(tmp_path / "runs/demo/reports/cycle-0001.html")
    assert Path(lines[-1]).is_file()
    states = SampleStore(str(tmp_path / "runs/demo/samples")).history()[0].counts["images"]
    assert states == {"labeled": 24 + 40 + 80, "pool": 240}

    again = json.loads(demo("--cycles", "1", "--json"))
    assert again["report"] == lines[-1]
    assert len(again["test_map"]) == 2
