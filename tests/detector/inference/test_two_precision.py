"""float32 for doubtful images and int8 for the others, as each would answer alone."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch

from pipeline.detector.inference.engine import predictor_with_engine
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.inference.two_precision import DOUBTS, SPREAD, LabelledDoubts, TwoPrecision, doubt
from pipeline.detector.training.loop import fine_tune
from pipeline.detector.training.run import RunSpec
from pipeline.folder import Folder
from tests.detector.small import detector, plan, said, scenes, training
from tests.selection.projects import project

CPU = PredictionSettings(accelerator="cpu", batch_size=4)
BOX = (10, 10, 20, 20)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((), 0.0),
        ((0.1,), 0.5),
        ((0.1, 0.1), 1.0),
        ((0.0, 1.0), 0.0),
        (
            (0.2, 0.05),
            sum(1 / (1 + math.exp(abs(math.log(s / (1 - s)) - math.log(1 / 9)) / SPREAD)) for s in (0.2, 0.05)),
        ),
    ],
)
def test_doubt_is_the_number_of_detections_expected_on_the_wrong_side(scores, expected):
    assert doubt(said(*((BOX, score, 1) for score in scores)), 0.1) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("decision_score", [0.0, 1.0])
def test_a_threshold_at_an_end_of_the_scores_has_a_doubt(decision_score):
    assert 0 <= doubt(said((BOX, 0.3, 1)), decision_score) < 1e-6


@pytest.mark.parametrize(("share", "above"), [(0.0, 0), (0.1, 1), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_a_share_of_the_labelled_images_is_above_the_threshold(share, above):
    doubts = LabelledDoubts(0.1, tuple(float(number) for number in (3, 1, 7, 0, 2, 6, 5, 4)))
    assert sum(one > doubts.threshold(share) for one in doubts.doubts) == above


def test_all_and_none_whatever_the_doubts():
    certain = LabelledDoubts(0.1, (0.0, 0.0))
    assert certain.threshold(0.0) == math.inf
    assert certain.threshold(1.0) == -math.inf
    assert certain.threshold(0.5) == 0.0


def test_the_share_and_the_score_are_those_of_mining():
    settings = PredictionSettings.of(project(mining={"float32_share": 0.4, "proposal_score": 0.3}))
    assert (settings.float32_share, settings.decision_score) == (0.4, 0.3)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A detector that has learnt something, images, and the folder of its exports."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("two")
    settings = training(steps=30, batch_size=4, learning_rate=0.003)
    model, images = detector(settings=settings), scenes(folder, 12)
    fine_tune(model, plan(images, settings), RunSpec(settings, 0, Folder(folder / "run"), ""))
    return model, [sample.ref for sample in images], Folder(folder / "kept")


def by(exported, engine, settings=CPU):
    model, refs, kept = exported
    return predictor_with_engine(copy.deepcopy(model), settings, engine, kept, refs)


def answers(predictor, refs):
    return [found for images in predictor.inputs(refs) for found in predictor(images)]


def equal(one, other):
    names = ("boxes", "scores", "labels", "embeddings")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_each_image_gets_the_answer_of_one_engine(exported, share):
    refs = exported[1]
    settings = replace(CPU, float32_share=share)
    predictor = by(exported, "onnx_two_precision", settings)
    assert isinstance(predictor, TwoPrecision)
    int8, float32 = (answers(by(exported, engine), refs) for engine in ("onnx_int8", "onnx"))
    assert not any(map(equal, int8, float32)), "the engines must differ for this test to say anything"
    doubtful = [predictor.is_doubtful(found) for found in int8]
    assert sum(doubtful) == share * len(refs), "these are the images that the threshold is taken from"
    for found, one, other, again in zip(answers(predictor, refs), int8, float32, doubtful, strict=True):
        assert equal(found, other if again else one)


@pytest.mark.parametrize("batch_size", [1, 3, 12])
def test_no_image_depends_on_its_neighbours(exported, batch_size):
    _, refs, _ = exported
    settings = replace(CPU, batch_size=batch_size)
    expected = answers(by(exported, "onnx_two_precision"), refs)
    found = answers(by(exported, "onnx_two_precision", settings), refs[::-1])[::-1]
    assert all(map(equal, expected, found))


def test_canvases_are_those_of_int8(exported):
    canvases = next(by(exported, "torch").inputs(exported[1]))
    both = by(exported, "onnx_two_precision", replace(CPU, float32_share=1.0)).detect_canvases(canvases)
    int8, float32 = (by(exported, engine).detect_canvases(canvases) for engine in ("onnx_int8", "onnx"))
    assert all(torch.equal(one.scores, other.scores) for one, other in zip(both, int8, strict=True))
    assert not any(torch.equal(one.scores, other.scores) for one, other in zip(both, float32, strict=True))


def test_doubts_are_measured_once_for_a_decision_score(exported, tmp_path):
    model, refs, kept = exported
    by(exported, "onnx_two_precision")
    before = kept.read_record(DOUBTS, LabelledDoubts)
    assert len(before.doubts) == len(refs)
    predictor_with_engine(copy.deepcopy(model), CPU, "onnx_two_precision", kept, refs[:1])
    assert kept.read_record(DOUBTS, LabelledDoubts) == before
    by(exported, "onnx_two_precision", replace(CPU, decision_score=0.3))
    assert kept.read_record(DOUBTS, LabelledDoubts).decision_score == 0.3
    by(exported, "onnx_two_precision")
    assert kept.read_record(DOUBTS, LabelledDoubts) == before


def test_torch_serves_where_no_image_is_labelled(exported, caplog):
    model, refs, kept = exported
    by(exported, "onnx_two_precision")
    kept.remove(DOUBTS)
    predictor = predictor_with_engine(copy.deepcopy(model), CPU, "onnx_two_precision", kept, [])
    assert "expect labelled images" in caplog.text
    assert not isinstance(predictor, TwoPrecision)
    assert all(map(equal, answers(predictor, refs), answers(Predictor(copy.deepcopy(model), CPU), refs)))
