"""Several processes train as one, by setting alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from pipeline.cycle import open_cycle
from pipeline.detector.models.registry import load_card
from pipeline.detector.models.saved import load_model
from pipeline.detector.training.checkpoint import CHECKPOINT
from pipeline.detector.training.processes import _Line
from pipeline.errors import PipelineError
from pipeline.settings import PlateauSettings, load_settings
from pipeline.stages.importing import import_new
from tests.dataset.images import torn
from tests.detector.runs import Killed, Run, kill_at
from tests.detector.small import ALL_ON, detector, differing, scenes, training
from tests.end_to_end.project import write_config

ROOT = Path(__file__).parents[3]
TWO = {"devices": 2, "batch_size": 4}
BIAS = "network.head.classification_head.cls_logits.bias"


def score_of(model) -> float:
    return -model.state_dict()[BIAS].sum().item()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return scenes(tmp_path_factory.mktemp("images"))


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    """Two of each image's kind of object a share: the mean over both shares is about the loss of the whole batch."""
    samples = scenes(tmp_path)
    torn(tmp_path / "scene1.png")
    values = {"steps": 6, "batch_size": 4, "classification": "cross_entropy"}
    one, two = (Run(tmp_path, samples, training(**values, devices=n), name=str(n)) for n in (1, 2))
    reports = []
    alone, together = one.start(), two.start(lambda *report: reports.append(report))
    assert reports == [("fine-tuning", step, 6) for step in range(1, 7)]
    assert together.steps == alone.steps == 6
    assert together.images == alone.images == 24
    assert [uri for uri, _ in together.faults] == [str(tmp_path / "scene1.png")]
    assert together.curve[0].loss == pytest.approx(alone.curve[0].loss, rel=0.05)
    first = detector(settings=one.settings).state_dict()
    moved = [
        torch.cat([(tensor - first[name]).flatten() for name, tensor in run.weights().items()]) for run in (one, two)
    ]
    assert torch.cosine_similarity(*moved, dim=0) > 0.9


@pytest.mark.slow  # starting processes takes its time
def test_killed_processes_go_on_to_the_same_end(tmp_path, samples):
    stopping = PlateauSettings(every_steps=2, patience=1.0, min_steps=1)
    values = {**ALL_ON, **TWO, "accumulate": 2, "plateau": stopping}
    settings = training(**values, steps=5, checkpoint_every_steps=2)
    whole, killed = (Run(tmp_path, samples, settings, name=name, evaluate=score_of) for name in ("whole", "killed"))
    expected = whole.start()
    with pytest.raises(Killed):
        killed.start(kill_at(3))
    assert killed.checkpoints.exists(CHECKPOINT)
    result = killed.start()
    assert result.curve == expected.curve
    assert result.looks == expected.looks
    assert [look.step for look in result.looks] == [2]
    assert differing(killed.weights(), whole.weights()) == []


def test_a_process_that_fails_is_reported(tmp_path):
    bad = scenes(tmp_path, 2)
    for index in range(2):
        (tmp_path / f"scene{index}.png").write_bytes(b"")
    with pytest.raises(PipelineError, match=r"A training process failed: .*none of 2 can be read"):
        Run(tmp_path, bad, training(**TWO)).start()


def _killed_while_it_speaks(ends):
    speaker, _ = ends
    speaker.send(("fine-tuning", 1, 2))
    os.write(speaker.fileno(), struct.pack("!i", 1000) + b"less than was announced")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.timeout(120)
def test_a_process_that_is_killed_while_it_speaks_keeps_nobody_waiting():
    heard = []
    with _Line(lambda *report: heard.append(report)) as line:
        speaker = multiprocessing.get_context("spawn").Process(target=_killed_while_it_speaks, args=(line.ends,))
        speaker.start()
        speaker.join()
    assert heard == [("fine-tuning", 1, 2)]
    assert line.outcome is None


def test_several_machines_need_torchrun(tmp_path, samples):
    with pytest.raises(PipelineError, match=r"training.nodes 2 expects torchrun to start this on each machine"):
        Run(tmp_path, samples, training(batch_size=4, nodes=2)).start()


SCRIPT = """
import json, os, sys
from pathlib import Path
import torch.distributed
from pipeline.detector.training.data.batches import BatchPlan
from tests.detector.runs import Run
from tests.detector.small import scenes, training

folder, shown = Path(sys.argv[1]), []
make = BatchPlan.__getitem__
BatchPlan.__getitem__ = lambda plan, part: (shown.append(make(plan, part)), shown[-1])[1]
torch.set_num_threads(1)
run = Run(folder, scenes(folder / os.environ["RANK"]), training(steps=3, batch_size=4, devices=2))
result = run.start()
rank = torch.distributed.get_rank()
weights = {name: tensor.double().sum().item() for name, tensor in run.weights().items()}
report = {"images": [batch.image_ids for batch in shown], "weights": weights, "steps": result.steps}
Path(folder, f"rank{rank}.json").write_text(json.dumps(report))
"""


def test_processes_of_torchrun_have_equal_weights_and_shares_of_their_own(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, str(tmp_path / "train.py"), str(tmp_path)],
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)},
        timeout=300,
    )
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["weights"] == second["weights"]
    assert first["steps"] == second["steps"] == 3
    for mine, others in zip(first["images"], second["images"], strict=True):
        assert len(mine) == len(others) == 2
        assert not set(mine) & set(others)


def test_torchrun_trains_a_model_of_a_project_once(tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data, training={"steps": 2, "devices": 2, "plateau": {"enabled": False}})
    cycle = open_cycle(load_settings(config), datetime(2026, 1, 2, tzinfo=UTC))
    import_new(cycle)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(ROOT / "scripts/train.py"), "--config", str(config)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    (model_id,) = cycle.workspace.models.names()
    assert done.stdout.count("Model ") == 1
    assert f"Model {model_id}. Next: crosscheck evaluate --model {model_id}" in done.stdout
    card = load_card(cycle.workspace.models, model_id)
    assert (card.dataset_version, card.parent_id) == (cycle.store.version(), None)
    assert load_model(cycle.workspace.models, model_id).labels == ("red", "blue")
    assert not cycle.workspace.exists("torchrun"), "nothing but the model stays"
