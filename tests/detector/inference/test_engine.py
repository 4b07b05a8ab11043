"""ONNX Runtime in place of torch: the same answers in float32, near ones in int8, and torch where it is missing."""

from __future__ import annotations

import logging
from typing import get_args

import pytest
import torch

from pipeline.detector.inference import engine as engines
from pipeline.detector.inference.engine import fastest_engine, predictor_with_engine
from pipeline.detector.inference.predictor import PredictionSettings
from pipeline.detector.training.loop import fine_tune
from pipeline.detector.training.run import RunSpec
from pipeline.folder import Folder
from pipeline.records import ImageRef
from pipeline.settings.mining import Engine
from tests.detector.small import ARCHITECTURES, detector, paint, plan, scenes, training

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

CPU = PredictionSettings(accelerator="cpu", batch_size=4)
FALLS_BACK = "Torch computes what ONNX Runtime should"


@pytest.fixture(scope="module", params=ARCHITECTURES)
def trained(request, tmp_path_factory):
    """Weights of a detector that has learnt something, and images."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = training(steps=30, batch_size=4, learning_rate=0.003)
    model, images = detector(request.param, settings=settings), scenes(folder, 8)
    fine_tune(model, plan(images, settings), RunSpec(settings, 0, Folder(folder / "run"), ""))
    return request.param, model.state_dict(), [sample.ref for sample in images]


def model_of(trained):
    architecture, weights, _ = trained
    model = detector(architecture, settings=training())
    model.load_state_dict(weights)
    return model


def by(engine, trained, folder, model=None):
    return predictor_with_engine(model or model_of(trained), CPU, engine, Folder(folder), trained[2])


def answers(predictor, refs):
    return [found for batch in predictor.stream(refs) for found in predictor(batch.images)]


def test_float32_agrees_with_torch(trained, tmp_path):
    expected, found = (answers(by(engine, trained, tmp_path), trained[2]) for engine in ("torch", "onnx"))
    assert sum(len(one) for one in expected) > 20, "something must be found for this test to say anything"
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.labels, other.labels)
        torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=1e-4)
        torch.testing.assert_close(one.boxes, other.boxes, rtol=0, atol=1e-2)
        torch.testing.assert_close(one.embeddings, other.embeddings, rtol=0, atol=1e-3)


def test_int8_finds_much_the_same(trained, tmp_path):
    expected, found = (answers(by(engine, trained, tmp_path), trained[2]) for engine in ("torch", "onnx_int8"))
    best = [(one.scores.max(), other.scores.max()) for one, other in zip(expected, found, strict=True) if len(one)]
    assert best
    for score, other in best:
        assert abs(score - other) < 0.2
    assert Folder(tmp_path).exists("onnx_int8.onnx")


def test_an_export_is_kept_and_read_again(trained, tmp_path, monkeypatch):
    first = answers(by("onnx", trained, tmp_path), trained[2])
    monkeypatch.setattr(engines, "export_onnx", None)
    again = answers(by("onnx", trained, tmp_path), trained[2])
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.scores, other.scores)


@pytest.fixture
def small(tmp_path):
    ref = ImageRef("a", paint(tmp_path / "a.png", size=(64, 64)), 64, 64)
    model = detector(settings=training())
    return "retinanet", model.state_dict(), [ref]


def test_torch_serves_where_a_package_is_missing(small, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("pipeline.detector.inference.engine.is_installed", lambda: False)
    with caplog.at_level(logging.WARNING):
        found = answers(by("onnx", small, tmp_path), small[2])
    (record,) = [record for record in caplog.records if FALLS_BACK in record.message]
    assert "crosscheck[onnx]" in record.message
    (expected,) = answers(by("torch", small, tmp_path), small[2])
    assert torch.equal(found[0].scores, expected.scores)
    assert not Folder(tmp_path).exists("onnx.onnx")


def test_torch_serves_where_int8_has_no_images(small, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        by("onnx_int8", (*small[:2], []), tmp_path)
    assert [record.message for record in caplog.records if FALLS_BACK in record.message]


@pytest.mark.parametrize(
    ("wanted", "settings", "installed", "engine"),
    [
        ("auto", {}, True, "onnx"),
        ("auto", {}, False, "torch"),
        ("auto", {"precision": "bf16"}, True, "torch"),
        ("auto", {"compiled": True}, True, "torch"),
        ("auto", {"accelerator": "cuda"}, True, "torch"),
        ("torch", {}, True, "torch"),
        ("onnx_int8", {}, True, "onnx_int8"),
    ],
)
def test_which_engine_computes(wanted, settings, installed, engine, monkeypatch):
    monkeypatch.setattr("pipeline.detector.inference.engine.is_installed", lambda: installed)
    assert fastest_engine(wanted, PredictionSettings(**{"accelerator": "cpu", **settings})) == engine


@pytest.mark.parametrize("wanted", [each for each in get_args(Engine) if each not in {"auto", "torch"}])
def test_engines_for_processors_leave_a_gpu_to_torch(wanted, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(engines, "Predictor", lambda *given: given)
    settings = PredictionSettings(accelerator="cuda")
    assert fastest_engine("auto", settings) == fastest_engine(wanted, settings) == "torch"
    with caplog.at_level(logging.WARNING):
        assert predictor_with_engine(model := detector(), settings, wanted, Folder(tmp_path), []) == (model, settings)
    assert f"mining.engine {wanted} is for processors" in caplog.text
