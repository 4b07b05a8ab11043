"""Whose turn it is on a GPU, among threads: a lock of the operating system keeps processes and threads apart alike."""

from __future__ import annotations

import tempfile
from threading import Event, Thread

import pytest
import torch

from pipeline.gpu_turn import VISIBLE, gpu_turn, used_gpus
from pipeline.settings import TrainingSettings

LONG_S = 60.0


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    """A machine that says it has two; which of them a run uses does not depend on what they can do."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(VISIBLE, raising=False)


def test_a_run_uses_the_first_visible_ones(two_gpus, monkeypatch):
    assert used_gpus(TrainingSettings()) == ["0"]
    assert used_gpus(TrainingSettings(devices=2)) == ["0", "1"]
    assert used_gpus(TrainingSettings(accelerator="cpu")) == []
    monkeypatch.setenv(VISIBLE, "3, 1")
    assert used_gpus(TrainingSettings()) == ["3"]
    assert used_gpus(TrainingSettings(devices=2)) == ["1", "3"], "taken in one order, so that nobody waits in a circle"


def test_nobody_waits_where_there_is_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with gpu_turn(TrainingSettings()), gpu_turn(TrainingSettings()):
        assert not any(tmp_path.iterdir())


def test_another_run_on_the_same_gpu_waits_and_says_so(two_gpus, caplog):
    caplog.handler.addFilter(lambda _: waiting.set() or True)
    waiting, ran = Event(), Event()

    def run():
        with gpu_turn(TrainingSettings()):
            ran.set()

    other = Thread(target=run)
    with gpu_turn(TrainingSettings()):
        other.start()
        assert waiting.wait(LONG_S)
        assert not ran.is_set()
    other.join(LONG_S)
    assert ran.is_set()
    assert "Another run uses GPU 0 of this machine" in caplog.text


def test_another_gpu_is_free(two_gpus, monkeypatch):
    with gpu_turn(TrainingSettings()):
        monkeypatch.setenv(VISIBLE, "1")
        with gpu_turn(TrainingSettings()):
            pass
